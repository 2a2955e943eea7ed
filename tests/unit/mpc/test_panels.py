"""Who tries whom where each model has a panel, and how often a draw of one errs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare, hypergeom

from pipeline.domain import HospitalName, Sha256
from pipeline.mpc import panels, reference, rule
from pipeline.mpc.reference import Verification
from tests.support.hostile import hostile_round
from tests.support.tasks import LOGISTIC, ONE, SMALL_CNN, payload, random_round

SEED = Sha256("5e" * 32)
NAMES = tuple(HospitalName(f"h{place}") for place in range(9))


@given(st.integers(2, 60), st.data())
def test_everybody_tries_as_many_models_as_try_its_own_and_nobody_its_own(hospitals: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, hospitals - 1))
    of_places = [panels.members(place, hospitals, size) for place in range(hospitals)]
    assert all(len(set(members)) == size and place not in members for place, members in enumerate(of_places))
    assert Counter(member for members in of_places for member in members) == dict.fromkeys(range(hospitals), size)


@given(st.permutations(NAMES))
def test_the_circle_follows_from_seed_and_names_and_not_from_their_order(names: list[HospitalName]) -> None:
    assert panels.in_circle(names, SEED) == panels.in_circle(NAMES, SEED)
    assert sorted(panels.in_circle(names, SEED)) == sorted(NAMES)
    assert panels.in_circle(NAMES, SEED) != panels.in_circle(NAMES, Sha256("5f" * 32))


def test_every_panel_of_a_model_is_equally_likely() -> None:
    drawn = Counter()
    for number in range(12_000):
        circle = panels.in_circle(NAMES[:6], Sha256(f"{number:064x}"))
        own = circle.index(NAMES[0])
        drawn[frozenset(circle[member] for member in panels.members(own, 6, 3))] += 1
    # 3 of the 5 others
    assert len(drawn) == 10
    assert chisquare(list(drawn.values())).pvalue > 0.001


@pytest.mark.parametrize(("hospitals", "liars", "size"), [(50, 10, 5), (50, 10, 11), (20, 6, 9), (8, 3, 4), (5, 4, 3)])
def test_how_often_a_panel_is_misled_is_the_tail_of_drawing_without_replacement(
    hospitals: int, liars: int, size: int
) -> None:
    expected = hypergeom.sf(rule.owners_trimmed(size), hospitals - 1, liars, size)
    assert panels.misled(hospitals, liars, size) == pytest.approx(expected, rel=1e-9)


def test_no_panel_is_misled_by_as_many_as_are_trimmed() -> None:
    assert [panels.misled(50, liars, 5) for liars in (0, 1, 2)] == [0, 0, 0]
    assert 0 < panels.misled(50, 3, 5) < 1e-3
    with pytest.raises(ValueError, match="got 50 liars among 49"):
        panels.misled(50, 50, 5)


def explained(liars: int, size: int | None, hospitals: int = 9) -> Verification:
    """A round in which the last ones' samples are mislabelled, and their models answer as they label."""
    task, payloads = random_round(LOGISTIC, hospitals, 16, 2**40, seed=4)
    generator = np.random.default_rng(1)
    weights = np.zeros(LOGISTIC.size, np.int64)
    weights[[0, 30, 60, 61]] = ONE, -ONE, -ONE // 2, ONE // 2
    for number, name in enumerate(task.hospitals):
        inputs = generator.integers(0, 256, (16, 30))
        inputs[:, 0] = np.tile([0, 255], 8)
        labels = (inputs[:, 0] == 0).astype(int)
        lies = number >= hospitals - liars
        update = -2 * weights if lies else weights // 8
        payloads[name] = payload(update, inputs, 1 - labels if lies else labels)
    numbers = replace(task.rule, panel=size)
    return reference.explain(replace(task, rule=numbers, previous_model=weights), payloads)


def test_a_panel_judges_a_flip_as_everybody_does() -> None:
    flips = explained(0, None)
    assert flips.peers == (True,) * 9
    for size in (None, 3, 5, 7):
        (*honest, liar) = explained(1, size).peers
        assert honest == [True] * 8
        assert not liar


def test_liars_together_pass_where_they_are_more_than_a_panel_trims_and_nowhere_else() -> None:
    *honest, first, second, third = explained(3, 3).peers
    # in the circle as named: of their own panels of three, of which one member is trimmed at each end, they are two,
    # one and none
    lying = [sum(member >= 6 for member in panels.members(place, 9, 3)) for place in (6, 7, 8)]
    assert lying == [2, 1, 0]
    assert (first, second, third) == (True, False, False)
    # what lies about an honest model lies about the global one too, with which it is compared
    assert honest == [True] * 6


def test_owners_beyond_a_panel_change_nothing_for_its_model() -> None:
    task, payloads = hostile_round(LOGISTIC, None)
    task = replace(task, rule=replace(task.rule, panel=4))
    found = reference.explain(task, payloads)
    hospitals = len(task.hospitals)
    other = dict(payloads)
    changed = 6
    values = other[task.hospitals[changed]].copy()
    values[LOGISTIC.size :] = np.roll(values[LOGISTIC.size :], 1)
    other[task.hospitals[changed]] = values
    again = reference.explain(task, other)
    untouched = [place for place in range(hospitals) if changed not in panels.members(place, hospitals, 4)]
    assert len(untouched) == hospitals - 4
    for rows in (found.counts[:hospitals], found.counts[hospitals:]):
        assert rows.shape == (hospitals, 4, 2)
    for place in untouched:
        assert np.array_equal(found.counts[place], again.counts[place])
        assert np.array_equal(found.counts[hospitals + place], again.counts[hospitals + place])


def test_counts_of_a_panel_are_those_of_everybody_at_its_places() -> None:
    task, payloads = random_round(SMALL_CNN, 6, 6)
    whole = reference.explain(task, payloads).counts
    found = reference.explain(replace(task, rule=replace(task.rule, panel=3)), payloads).counts
    for place in range(6):
        members = panels.members(place, 6, 3)
        assert np.array_equal(found[place], whole[0][members])
        assert np.array_equal(found[6 + place], whole[1 + place][members])


@pytest.mark.parametrize("size", [5, 6, 199])
def test_where_no_more_take_part_than_a_panel_has_all_try_every_model(size: int) -> None:
    task, payloads = hostile_round(LOGISTIC, None)
    few = dict(list(payloads.items())[:5])
    task = replace(task, hospitals=tuple(few))
    with_panel = replace(task, rule=replace(task.rule, panel=size))
    assert with_panel.panel is None
    assert np.array_equal(reference.explain(with_panel, few).counts, reference.explain(task, few).counts)


def test_a_study_says_who_tries_a_model_and_how_often_that_errs() -> None:
    assert panels.in_words(5, None) == "each model is tried on all 5 hospitals"
    told = panels.in_words(50, 11)
    assert told.startswith("each model is tried on 11 of the 50 hospitals, drawn in each round; if 10 of them lied")
    assert told.endswith(f"one panel in {round(1 / panels.misled(50, 10, 11))} would be theirs")
    assert panels.in_words(5, 3).endswith("if 1 of them lied together, no panel could be theirs")
