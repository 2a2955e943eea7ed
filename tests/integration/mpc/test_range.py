"""A check of ranges gives under encryption what the reference gives, and the sum of what it lets in is opened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.domain import COORDINATE_CAP, HospitalName
from pipeline.mpc import reference
from pipeline.mpc.engines.base import AggregateOutput, AggregateTask, Engine, RangeOutput, RangeTask
from pipeline.mpc.engines.mp_spdz.engine import NODES, MpSpdz
from pipeline.mpc.engines.spu.engine import Spu
from pipeline.site.settings import Settings
from tests.support.parties import Words, run_parties

_MOST = COORDINATE_CAP - 1
_SIZE = 6
_OUT = {
    "one above": COORDINATE_CAP,
    "one below": -COORDINATE_CAP,
    "smallest": np.iinfo(np.int64).min,
    "largest": np.iinfo(np.int64).max,
}


def vectors() -> dict[HospitalName, Words]:
    """Four within the cap, two of them at its ends, and one for each way to leave it."""
    generator = np.random.default_rng(3)
    honest = {HospitalName(f"honest-{index}"): generator.integers(-_MOST, _MOST, _SIZE) for index in range(2)}
    ends = {HospitalName("top"): np.full(_SIZE, _MOST), HospitalName("bottom"): np.full(_SIZE, -_MOST)}
    out = {}
    for place, (name, value) in enumerate(_OUT.items()):
        vector = generator.integers(-_MOST, _MOST, _SIZE)
        vector[place] = value
        out[HospitalName(name.replace(" ", "-"))] = vector
    return honest | ends | out


@pytest.mark.mp_spdz
@pytest.mark.parametrize("protocol", NODES)
def test_mp_spdz_equals_the_reference(protocol: str, tmp_path: Path) -> None:
    _equals_the_reference(MpSpdz(Settings.load()), protocol, NODES[protocol], tmp_path)


@pytest.mark.spu
def test_spu_equals_the_reference(tmp_path: Path) -> None:
    _equals_the_reference(Spu(), "aby3", 3, tmp_path)


def _equals_the_reference(engine: Engine, protocol: str, nodes: int, folder: Path) -> None:
    shared = vectors()
    names = tuple(shared)
    within = reference.check_range(RangeTask(names, _SIZE), shared)
    assert within == (True, True, True, True, False, False, False, False)
    for checked in run_parties(engine, protocol, RangeTask(names, _SIZE), shared, folder / "check", count=nodes):
        assert isinstance(checked, RangeOutput)
        assert checked.within == within
    opening = AggregateTask(names[:4], _SIZE)
    total, count = reference.aggregate(opening, shared)
    for opened in run_parties(engine, protocol, opening, shared, folder / "sum", count=nodes):
        assert isinstance(opened, AggregateOutput)
        assert (opened.total.tolist(), opened.count) == (total.tolist(), count)
