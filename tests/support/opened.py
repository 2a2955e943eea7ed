"""MP-SPDZ's verification with its secret quantities opened, to compare them with the reference's.

Never a round's program.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from pipeline.domain import EngineStats, HospitalName
from pipeline.evidence.canonical import sha256
from pipeline.mpc import rule
from pipeline.mpc.engines.base import Components, Party, Task, VerifyTask
from pipeline.mpc.engines.mp_spdz import programs
from pipeline.mpc.engines.mp_spdz.engine import NODES, MpSpdz
from pipeline.mpc.engines.mp_spdz.profiles import Profile
from pipeline.mpc.reference import Verification
from tests.support.parties import Words, deal, make_parties

_PROGRAM = Path(__file__).with_name("opened.mpc")


class Opened(MpSpdz):
    """One party of it."""

    def explain(
        self, protocol: str, task: VerifyTask, components: Components, party: Party
    ) -> tuple[Verification, EngineStats]:
        """All that the rule computes."""
        n = len(task.hospitals)
        owners, rows = (n, n + 1) if task.panel is None else (task.panel, 2 * n)
        classes = task.network.classes
        sizes = [n, 1, *[n] * 7, 1, *[(1 + classes) * rows] * owners]
        vectors = self._secrets(protocol, task, components, party)
        words, stats = self._run("opened", protocol, task, vectors, sum(sizes), party)
        accepted, budget, in_range, valid, size, direction, peers, norms, products, median_square, *columns = np.split(
            words, np.cumsum(sizes)[:-1]
        )
        counts = np.stack([column.reshape(1 + classes, rows) for column in columns]).transpose(2, 0, 1)
        assert (counts[..., 0] == counts[..., 1:].sum(axis=2)).all()
        found = Verification(
            tuple(map(bool, accepted)),
            rule.floored(int(budget[0])),
            tuple(map(bool, in_range)),
            tuple(map(bool, valid)),
            tuple(map(bool, size)),
            tuple(map(bool, direction)),
            tuple(map(bool, peers)),
            tuple(map(int, norms)),
            tuple(map(int, products)),
            int(median_square[0]),
            counts[..., 1:],
        )
        return found, stats

    def _compiled(self, protocol: str, task: Task, profile: Profile) -> Path:
        assert isinstance(task, VerifyTask)
        _, sizes = self._described(protocol, task, profile)
        shape = {"source": sha256(_PROGRAM.read_bytes()), **sizes}
        return programs.compiled("opened", shape, installation=self._home, cache=self._cache, sources=_PROGRAM.parent)


def explanations(
    opened: Opened,
    protocol: str,
    task: VerifyTask,
    payloads: Mapping[HospitalName, Words],
    folder: Path,
    deadline_seconds: float = 120,
) -> list[tuple[Verification, EngineStats]]:
    """What each party of a run learns; raises the first one's error."""
    parties = make_parties(NODES[protocol], folder, deadline_seconds)
    dealt = deal(payloads, len(parties))
    with ThreadPoolExecutor(len(parties)) as threads:
        return list(threads.map(lambda party: opened.explain(protocol, task, dealt[party.index], party), parties))


def differences(found: Verification, expected: Verification) -> list[str]:
    """Names of the quantities that are not the same."""
    return [name for name, value in vars(expected).items() if not np.array_equal(value, getattr(found, name))]
