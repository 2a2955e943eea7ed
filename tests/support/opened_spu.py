"""SPU's verification with its secret quantities opened, to compare them with the reference's.

Never a round's program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.domain import EngineStats, HospitalName
from pipeline.evidence.canonical import sha256
from pipeline.mpc.engines.base import Party, Task, VerifyTask
from pipeline.mpc.engines.spu.engine import Spu
from pipeline.mpc.engines.spu.process import PartyProcess
from pipeline.mpc.reference import Verification
from tests.support.parties import Words, deal, make_parties

_PARTY = Path(__file__).with_name("opened_spu_party.py")
_QUANTITIES = ("in_range", "valid_owner", "size", "direction", "peers", "squared_norms", "counts")


class OpenedSpu(Spu):
    """One party of it; `found` holds what its last run opened, in the order of `_QUANTITIES`."""

    found: Sequence[list[int]] = ()

    def _run(
        self, protocol: str, task: Task, content: Sequence[bytes], party: Party
    ) -> tuple[list[list[int]], EngineStats]:
        (accepted, budget, *self.found), stats = super()._run(protocol, task, content, party)
        return [accepted, budget], stats

    def _executable(self, program: Mapping[str, Any]) -> str:
        return super()._executable({**program, "opened": sha256(_PARTY.read_bytes())})

    def _process(self, folder: Path, log: Path, seconds: float) -> PartyProcess:
        return PartyProcess(self.settings.spu_python, _PARTY, folder, log, seconds)


def differences(
    task: VerifyTask, payloads: Mapping[HospitalName, Words], expected: Verification, folder: Path
) -> list[str]:
    """Names of the quantities of which some party opens another value than the reference's."""
    parties = make_parties(3, folder)
    dealt = deal(payloads, len(parties))

    def run(party: Party) -> list[str]:
        engine = OpenedSpu()
        output = engine.verify("aby3", task, dealt[party.index], party)
        found = dict(zip(_QUANTITIES, map(np.array, engine.found), strict=True))
        different = [name for name in _QUANTITIES if not np.array_equal(found[name], np.ravel(getattr(expected, name)))]
        return different + ["verdict"] * ((output.accepted, output.budget) != (expected.accepted, expected.budget))

    with ThreadPoolExecutor(len(parties)) as threads:
        return sorted({name for names in threads.map(run, parties) for name in names})
