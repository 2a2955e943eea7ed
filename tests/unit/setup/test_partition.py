"""Dealing a data set out to hospitals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.datasets import Records
from pipeline.errors import Misconfigured
from pipeline.setup.partition import TEST_SHARE, deal
from pipeline.site.settings import PROJECT
from pipeline.study.fields import Partition
from pipeline.study.study import Study

BASE = Study.load(PROJECT / "studies" / "breast_cancer.yaml")


def records(prefix: str, per_class: tuple[int, int]) -> Records:
    labels = np.repeat([0, 1], per_class)
    ids = np.array([f"{prefix}-{row}" for row in range(len(labels))])
    return Records(ids, np.arange(len(labels)), labels.astype(np.int64))


def dealing(hospitals: int, alpha: float, floor: int, seed: int = 1) -> Study:
    names = tuple(f"hospital-{index}" for index in range(hospitals))
    return BASE.model_copy(
        update={"hospitals": names, "seed": seed, "partition": Partition(alpha=alpha, per_class=floor)}
    )


@settings(deadline=None)
@given(
    hospitals=st.integers(3, 12),
    alpha=st.floats(0.05, 100),
    floor=st.integers(0, 12),
    seed=st.integers(0, 2**32 - 1),
    spare=st.tuples(st.integers(0, 300), st.integers(0, 300)),
)
def test_every_record_goes_to_exactly_one_hospital_and_no_floor_is_undercut(
    hospitals: int, alpha: float, floor: int, seed: int, spare: tuple[int, int]
) -> None:
    study = dealing(hospitals, alpha, floor, seed)
    train = records("train", tuple(floor * hospitals + more for more in spare))
    test = records("test", (40, 60))
    dealt = deal(study, train, test)
    assert list(dealt) == list(study.hospitals)
    for part, whole, least in ((0, train, floor), (1, test, floor // TEST_SHARE)):
        ids = [identity for shares in dealt.values() for identity in shares[part].ids]
        assert sorted(ids) == sorted(whole.ids)
        for shares in dealt.values():
            assert all((shares[part].labels == label).sum() >= least for label in (0, 1))


def test_the_same_study_deals_the_same_and_another_seed_does_not() -> None:
    train = records("train", (200, 300))
    test = records("test", (40, 60))

    def ids(seed: int) -> list[list[str]]:
        return [
            part.ids.tolist() for shares in deal(dealing(5, 0.5, 10, seed), train, test).values() for part in shares
        ]

    assert ids(1) == ids(1)
    assert ids(1) != ids(2)


def test_a_small_alpha_is_skewed_and_a_large_one_is_nearly_even() -> None:
    train = records("train", (1000, 1000))
    test = records("test", (40, 60))

    def spread(alpha: float) -> float:
        return float(np.std([len(shares[0]) for shares in deal(dealing(5, alpha, 0), train, test).values()]))

    assert spread(0.2) > 5 * spread(1000)


def test_too_few_records_for_the_floor_are_reported_with_the_most_that_is_possible() -> None:
    with pytest.raises(
        Misconfigured, match=r"partition\.per_class: got 20 records of class 0 for each of 5 hospitals, want at most 14"
    ):
        deal(dealing(5, 1.0, 20), records("train", (74, 300)), records("test", (40, 60)))


def test_by_site_every_hospital_gets_the_records_of_its_own_patients_and_nobody_else_s() -> None:
    study = Study.load(PROJECT / "studies" / "heart_disease.yaml")
    labels = np.arange(12) % 2
    everything = Records(np.array([f"{study.hospitals[row % 4]}-{row}" for row in range(12)]), np.arange(12), labels)
    dealt = deal(study, everything, everything[np.arange(8)])
    assert {name: part.values.tolist() for name, (part, _) in dealt.items()} == {
        name: [place, place + 4, place + 8] for place, name in enumerate(study.hospitals)
    }
    assert {name: part.values.tolist() for name, (_, part) in dealt.items()} == {
        name: [place, place + 4] for place, name in enumerate(study.hospitals)
    }
