"""Counts by subgroup on components: what keeps its bounds is told by ranges alone, and totals come out as they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain import COORDINATE_CAP, HospitalName
from pipeline.measures.subgroups import Layout, Words, told
from pipeline.mpc import reference, tally
from pipeline.mpc.engines.base import Components
from tests.adversary import attack

LAYOUT = Layout(("well", "ill"), True, (2, 3))
NAMES = tuple(map(HospitalName, ("aster", "birch", "cedar", "dahlia")))
TESTED = 60


def vector(seed: int, tested: int = TESTED, layout: Layout = LAYOUT) -> Words:
    """The counts of a hospital with two records a patient."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(len(layout.classes)), tested)
    columns = [rng.integers(0, groups, tested) for groups in layout.groups]
    return layout.count(rng.integers(0, len(layout.classes), tested), shares, columns, np.arange(tested) // 2)


def shared(vectors: dict[HospitalName, Words], parts: int = 3) -> Components:
    """Components that sum to each vector modulo 2^64."""
    rng = np.random.default_rng(7)
    dealt = {}
    for name, words in vectors.items():
        masks = [rng.integers(-(2**63), 2**63, len(words), dtype=np.int64) for _ in range(parts - 1)]
        first = words.copy()
        for mask in masks:
            first -= mask
        dealt[name] = dict(enumerate([first, *masks]))
    return dealt


def joined(components: Components) -> dict[HospitalName, Words]:
    return {name: np.sum(list(held.values()), axis=0, dtype=np.int64) for name, held in components.items()}


def within(vectors: dict[HospitalName, Words], tested: int = TESTED) -> tuple[bool, ...]:
    components = tally.bounds(shared(vectors), LAYOUT, dict.fromkeys(vectors, tested))
    return reference.check_range(tally.bounds_task(tuple(vectors), LAYOUT), joined(components))


@given(st.integers(0, 2**20), st.sampled_from([0, 1, 2, 17, TESTED]))
def test_honest_counts_keep_their_bounds(seed: int, tested: int) -> None:
    assert within({NAMES[0]: vector(seed, tested)}, tested) == (True,)


@given(st.integers(0, LAYOUT.length - 1), st.integers(-(2**63), 2**63 - 1).filter(bool))
def test_one_count_that_is_another_does_not(place: int, change: int) -> None:
    words = vector(1)
    words[place : place + 1] += np.array([change], dtype=np.int64)
    # A number of patients has nothing to add up to: it may be any that its class has records for.
    is_patients = 4 <= place % LAYOUT.words < 6
    matrix, index = words.reshape(-1, LAYOUT.words)[place // LAYOUT.words], place % LAYOUT.words - 4
    allowed = is_patients and 0 <= words[place] <= matrix[2 * index] + matrix[2 * index + 1]
    assert within({NAMES[0]: words}) == (allowed,)


@pytest.mark.parametrize("tested", [TESTED - 1, TESTED + 1])
def test_counts_of_another_number_of_records_do_not(tested: int) -> None:
    assert within({NAMES[0]: vector(1)}, tested) == (False,)


def above_the_floor(well: Sequence[Sequence[int]]) -> tuple[bool, ...]:
    """Of groups with these well patients at each hospital, and twenty ill ones: which have enough, which nobody."""
    layout = Layout(("well", "ill"), False, (len(well),))
    vectors = {
        name: np.ravel(
            [[one, 0, 0, 20 * any(group), one, 20 * any(group)] for group, one in zip(well, ones, strict=True)]
        )
        for name, ones in zip(NAMES, zip(*well, strict=True), strict=False)
    }
    names = tuple(vectors)
    margins = tally.floors(shared(vectors), names, layout, 10)
    return reference.check_range(tally.floor_task(names, layout), joined(margins))


def test_the_floor_and_nobody_are_told_of_the_sum_alone() -> None:
    assert above_the_floor([(5, 5, 5), (5, 5, 4), (0, 0, 0)]) == (True, False, False, False, False, True)


@attack(
    by="hospital",
    to="learn",
    tries="to lift a group of few patients over the floor with some that it makes up, and to take them off the total",
    costs="nothing",
    seen="that the group is withheld",
)
def test_the_floor_holds_without_any_one_hospital() -> None:
    assert above_the_floor([(30, 1, 1), (9, 9, 0), (10, 9, 0)])[:3] == (False, False, False)
    assert above_the_floor([(10, 10, 10), (30, 9, 1)])[:2] == (True, True)


def test_the_sum_is_opened_as_it_is_and_nothing_of_what_is_withheld() -> None:
    vectors = {name: vector(seed) for seed, name in enumerate(NAMES)}
    total = tally.summed(shared(vectors), NAMES[1:])
    shown = [True, True, False, True, False]
    opened, count = reference.aggregate(tally.opening_task(LAYOUT), joined(tally.opening(total, LAYOUT, shown)))
    expected = sum(vectors[name] for name in NAMES[1:])
    by_group = opened.reshape(-1, LAYOUT.words)
    assert count == 3
    assert by_group[shown].tolist() == expected.reshape(-1, LAYOUT.words)[shown].tolist()
    assert not by_group[np.logical_not(shown)].any()


def test_no_sum_of_as_many_hospitals_leaves_the_cap() -> None:
    for hospitals in (3, 7, 200):
        assert 0 < hospitals * tally.most_tested(hospitals) < COORDINATE_CAP


@pytest.mark.parametrize(
    ("enough", "empty", "shown"),
    [
        ("11", "00", "11"),
        ("10", "00", "00"),
        ("00", "00", "00"),
        ("10", "01", "11"),
        ("0111", "0000", "0011"),
        ("1011", "0000", "0011"),
        ("1101", "0000", "1001"),
        ("1001", "0000", "0001"),
        ("0100", "0011", "0011"),
    ],
)
def test_with_a_group_below_the_floor_its_nearest_one_is_withheld(enough: str, empty: str, shown: str) -> None:
    layout = Layout(("well", "ill"), False, (len(enough),))
    flags = [[sign == "1" for sign in text] for text in (enough, empty, shown)]
    assert told(layout, flags[0], flags[1]) == flags[2]


def test_each_column_is_withheld_by_itself() -> None:
    layout = Layout(("well", "ill"), False, (2, 2))
    assert told(layout, [True, True, True, False], [False] * 4) == [True, True, False, False]
