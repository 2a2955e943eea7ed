"""The private validation pool: fixed per hospital, fresh per round, balanced, and out of anybody else's sight."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.datasets import Samples
from pipeline.datasets.pool import POOL_SHARE, draw, split
from pipeline.domain import HospitalName, RoundId, Sha256
from pipeline.errors import DataRejected
from pipeline.host.secret import Secret

ASTER = HospitalName("aster")
MINE = Secret(b"m" * 32)
OTHERS = Secret(b"o" * 32)
STUDY = Sha256("5" * 64)


def samples(count: int, share: float = 0.5, seed: int = 0) -> Samples:
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) < share * count).astype(np.int64)
    return Samples(rng.integers(-1024, 1024, size=(count, 6), dtype=np.int16), labels)


@given(count=st.integers(0, 60), share=st.floats(0, 1), seed=st.integers(0, 5))
def test_every_record_is_either_trained_on_or_in_the_pool(count: int, share: float, seed: int) -> None:
    everything = samples(count, share, seed)
    training, pool = split(everything, MINE)
    assert sorted([*training, *pool]) == list(range(count))
    for label in (0, 1):
        assert (everything.labels[pool] == label).sum() == (everything.labels == label).sum() // POOL_SHARE


def test_the_pool_is_the_same_in_whatever_order_the_records_lie() -> None:
    everything = samples(40)
    order = np.random.default_rng(3).permutation(40)
    pool = everything[split(everything, MINE)[1]]
    shuffled = everything[order][split(everything[order], MINE)[1]]
    assert {row.tobytes() for row in pool.inputs} == {row.tobytes() for row in shuffled.inputs}


def test_another_secret_gives_another_pool() -> None:
    everything = samples(60)
    assert split(everything, MINE)[1].tolist() != split(everything, OTHERS)[1].tolist()


@pytest.mark.parametrize("count", [4, 8, 16, 32])
def test_a_draw_has_equally_many_of_each_class(count: int) -> None:
    drawn = draw(samples(90, share=0.2), count, MINE, STUDY, RoundId(1), ASTER)
    assert np.bincount(drawn.labels).tolist() == [count // 2, count // 2]


def test_a_draw_repeats_no_record_while_the_pool_has_others() -> None:
    drawn = draw(samples(90, share=0.5), 32, MINE, STUDY, RoundId(1), ASTER)
    assert len({row.tobytes() for row in drawn.inputs}) == 32


def test_a_small_class_repeats_its_records_evenly() -> None:
    pool = samples(23, share=3 / 23)
    drawn = draw(pool, 16, MINE, STUDY, RoundId(1), ASTER)
    assert np.bincount(drawn.labels).tolist() == [8, 8]
    _, times = np.unique(drawn.inputs[drawn.labels == 1], axis=0, return_counts=True)
    assert sorted(times.tolist()) == [2, 3, 3]


def test_a_pool_of_one_class_gives_that_class_only() -> None:
    assert draw(samples(9, share=1.0), 4, MINE, STUDY, RoundId(1), ASTER).labels.tolist() == [1, 1, 1, 1]


def test_an_empty_pool_is_refused() -> None:
    with pytest.raises(DataRejected, match=r"aster: .*validation pool: got no record"):
        draw(samples(0), 4, MINE, STUDY, RoundId(1), ASTER)


def test_the_same_round_draws_the_same_again_and_every_other_one_differs() -> None:
    pool = samples(200)

    def drawn(secret: Secret = MINE, study: Sha256 = STUDY, round_id: int = 1) -> bytes:
        return draw(pool, 16, secret, study, RoundId(round_id), ASTER).inputs.tobytes()

    assert drawn() == drawn()
    assert len({drawn(), drawn(OTHERS), drawn(study=Sha256("6" * 64)), drawn(round_id=2)}) == 4


def test_a_draw_does_not_lay_its_classes_out_in_a_fixed_order() -> None:
    orders = {tuple(draw(samples(200), 16, MINE, STUDY, RoundId(number), ASTER).labels) for number in range(5)}
    assert len(orders) == 5
