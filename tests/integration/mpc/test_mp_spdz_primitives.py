"""Range checks, floors and rectified floors are exact at every edge of the ring, whatever the randomness."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.domain import HospitalName
from pipeline.evidence.canonical import sha256
from pipeline.mpc.engines.base import Components, Party, Task
from pipeline.mpc.engines.mp_spdz import programs
from pipeline.mpc.engines.mp_spdz.engine import NODES, MpSpdz
from pipeline.mpc.engines.mp_spdz.profiles import Profile
from pipeline.site.settings import Settings
from tests.support.parties import deal, make_parties
from tests.support.tasks import LOGISTIC, Words, random_round

pytestmark = pytest.mark.mp_spdz

_PROGRAM = Path(__file__).parents[2] / "support" / "primitives.mpc"
_RANGES = [
    (-40, 300, 10),
    (0, 255, 8),
    (0, 255, 10),
    (0, 1, 1),
    (1, 1, 1),
    (1 - (1 << 18), (1 << 18) - 1, 19),
    (1 - (1 << 61), (1 << 61) - 1, 62),
]
_BOUND = 1 << 45
_DROPPED = [0, 1, 12, 32, 44, 45, 50]
_ALL = HospitalName("all")


def around(numbers: list[int]) -> Words:
    """These numbers, their negatives and the neighbours of all, modulo 2^64."""
    near = sorted({sign * number + step for number in numbers for sign in (1, -1) for step in (-1, 0, 1)})
    return np.array([number % (1 << 64) for number in near], np.uint64).view(np.int64)


numbers = around([0, 40, 300, 255, *(1 << bits for bits in (8, 9, 10, 11, 18, 19, 20, 32, 61, 62, 63))])
bounded = np.unique(np.clip(around([0, *(1 << bits for bits in (1, 12, 31, 32, 33, 44, 45))]), -_BOUND, _BOUND))


class Primitives(MpSpdz):
    """One party of the program that opens them."""

    def found(self, protocol: str, components: Components, party: Party) -> Words:
        """Every vector that it writes, one after the other."""
        task, _ = random_round(LOGISTIC)
        outputs = len(_RANGES) * len(numbers) + len(_DROPPED) * 6 * len(bounded)
        return self._run("primitives", protocol, task, lambda: [components[_ALL]], outputs, party)[0]

    def _compiled(self, protocol: str, task: Task, profile: Profile) -> Path:
        shape = {
            "source": sha256(_PROGRAM.read_bytes()),
            "nodes": NODES[protocol],
            "counts": [len(numbers), len(bounded)],
        }
        shape |= {"ranges": _RANGES, "dropped": _DROPPED, "bound": _BOUND}
        return programs.compiled(
            "primitives", shape, installation=self._home, cache=self._cache, sources=_PROGRAM.parent
        )


@pytest.mark.parametrize("protocol", NODES)
def test_ranges_and_floors_are_exact_at_every_edge(protocol: str, tmp_path: Path) -> None:
    engine = Primitives(replace(Settings.load(), cache=tmp_path / "cache"))
    parties = make_parties(NODES[protocol], tmp_path)
    dealt = deal({_ALL: np.concatenate([numbers, bounded])}, len(parties))
    with ThreadPoolExecutor(len(parties)) as threads:
        outputs = list(threads.map(lambda party: engine.found(protocol, dealt[party.index], party), parties))
    expected = [((numbers < lowest) | (numbers > highest)).astype(np.int64) for lowest, highest, _ in _RANGES]
    for bits in _DROPPED:
        floor = bounded >> bits
        expected += [floor] * 3 + [np.maximum(floor, 0)] * 3
    for found in outputs:
        assert np.array_equal(found, np.concatenate(expected))
