"""The acceptance test of every protocol that promises to withstand a malicious node.

Whatever one party does, no honest one ends with a result.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from pipeline.domain import HospitalName
from pipeline.errors import EngineFailed
from pipeline.mpc import reference
from pipeline.mpc.engines.base import AggregateOutput, AggregateTask, VerifyOutput, VerifyTask
from pipeline.mpc.engines.mp_spdz.engine import NODES, MpSpdz
from pipeline.site.settings import Settings
from tests.adversary import attack
from tests.support import parties as support
from tests.support.deviant import Deviant
from tests.support.parties import deal, make_parties, outcomes_of
from tests.support.tasks import LOGISTIC, Words, random_round

pytestmark = pytest.mark.mp_spdz

MALICIOUS = [protocol for protocol, nodes in NODES.items() if nodes == 4]
"""A study's field `protocol` says of four nodes that one may do anything."""


@dataclass(frozen=True)
class Case:
    """One round under one protocol, and how many messages each party sends in it."""

    protocol: str
    settings: Settings
    task: VerifyTask
    payloads: dict[HospitalName, Words]
    messages: Sequence[int]

    def outcomes(self, deviating: int, engine: MpSpdz, folder: Path) -> list[object]:
        """What the honest parties end with."""
        members = make_parties(NODES[self.protocol], folder, deadline_seconds=60)
        engines = [engine if each.index == deviating else MpSpdz(self.settings) for each in members]
        found = outcomes_of(engines, self.protocol, self.task, self.payloads, members)
        return [outcome for party, outcome in enumerate(found) if party != deviating]


@pytest.fixture(scope="module", params=MALICIOUS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """An honest run, which shows that the shim alone changes nothing."""
    folder = tmp_path_factory.mktemp("honest")
    settings = Settings.load()
    task, payloads = random_round(LOGISTIC, hospitals=3, samples=4)
    watched = [Deviant(settings, folder / str(party)) for party in range(NODES[request.param])]
    for outcome in outcomes_of(watched, request.param, task, payloads, make_parties(len(watched), folder)):
        assert isinstance(outcome, VerifyOutput)
        assert (outcome.accepted, outcome.budget) == reference.verify(task, payloads)
    return Case(request.param, settings, task, payloads, [each.messages for each in watched])


def all_abort(outcomes: Sequence[object]) -> str:
    """What the honest parties say, all of which must have failed."""
    assert all(isinstance(outcome, EngineFailed) for outcome in outcomes), outcomes
    return "\n".join(map(str, outcomes))


@pytest.mark.parametrize(("deviating", "place"), [(0, 0.04), (1, 0.1), (2, 0.3), (3, 0.5), (0, 0.7), (1, 0.95)])
@attack(
    by="node",
    to="change",
    tries="to bend a verdict of `rep4-ring` by an altered message",
    costs="the run",
    seen="every honest party ends without a result",
)
def test_one_altered_message_ends_every_honest_party(case: Case, deviating: int, place: float, tmp_path: Path) -> None:
    engine = Deviant(case.settings, tmp_path / "deviant", "alter", round(place * case.messages[deviating]))
    said = all_abort(case.outcomes(deviating, engine, tmp_path))
    assert engine.did
    assert "deviated from the protocol" in said


def test_without_the_protocols_checks_an_altered_message_changes_the_result(tmp_path: Path) -> None:
    settings = Settings.load()
    task, payloads = random_round(LOGISTIC, samples=4)
    work = AggregateTask(task.hospitals, LOGISTIC.size)
    total, _ = reference.aggregate(work, payloads)

    def totals(engine: MpSpdz, folder: Path) -> list[Words]:
        honest = MpSpdz(settings)
        outcomes = outcomes_of([honest, engine, honest], "replicated-ring", work, payloads, make_parties(3, folder))
        return [outcome.total for outcome in outcomes if isinstance(outcome, AggregateOutput)]

    counting = Deviant(settings, tmp_path / "counting")
    assert all((found == total).all() for found in totals(counting, tmp_path / "honest"))
    # not every message carries a value that decides the outcome
    wrong = 0
    for place in (0.72, 0.65, 0.8, 0.5):
        engine = Deviant(settings, tmp_path / str(place), "alter", round(place * counting.messages))
        wrong += sum((found != total).any() for found in totals(engine, tmp_path / f"run-{place}"))
        assert engine.did
        if wrong:
            break
    assert wrong


def test_a_share_altered_in_a_partys_memory_ends_every_honest_party(case: Case, tmp_path: Path) -> None:
    deviating = 2
    component = deal(case.payloads, len(case.messages))[deviating][case.task.hospitals[0]][3]
    # of the first sample: the inputs are read by then, and every model is still to be evaluated on it
    word = component[LOGISTIC.size]
    engine = Deviant(case.settings, tmp_path / "deviant", "wait", round(0.15 * case.messages[deviating]))
    altered: list[int] = []

    def debugger() -> None:
        altered.append(add_one(engine.await_act(), word))
        engine.go_on()

    thread = threading.Thread(target=debugger)
    thread.start()
    said = all_abort(case.outcomes(deviating, engine, tmp_path))
    thread.join()
    assert altered[0] > 0
    assert "deviated from the protocol" in said


def add_one(pid: int, word: np.int64) -> int:
    """Add 1 to a word wherever it stands in another process's memory, as a debugger would; how often it stood there."""
    found = 0
    regions = Path(f"/proc/{pid}/maps").read_text().splitlines()
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        for span, rights, *_ in map(str.split, regions):
            if not rights.startswith("rw"):
                continue
            start, end = (int(edge, 16) for edge in span.split("-"))
            memory.seek(start)
            try:
                words = np.frombuffer(memory.read(end - start), dtype="<i8")
            except OSError:
                continue
            for place in np.flatnonzero(words == word):
                memory.seek(start + 8 * int(place))
                memory.write((word + 1).astype("<i8").tobytes())
                found += 1
    return found


@pytest.mark.parametrize("deviating", [1, 3])
def test_an_altered_component_ends_every_honest_party(
    case: Case, deviating: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = case.task.hospitals[0]
    monkeypatch.setattr(support, "deal", altering(deal, deviating, first))
    said = all_abort(case.outcomes(deviating, MpSpdz(case.settings), tmp_path))
    assert "deviated from the protocol or holds altered components" in said


def altering(honest: Callable[..., list[Any]], party: int, hospital: HospitalName) -> Callable[..., list[Any]]:
    """Deals honestly but for one word of one component that one party gets."""

    def altered(*arguments: Any) -> list[Any]:
        dealt = honest(*arguments)
        words = dealt[party][hospital][0].copy()
        words[5] += 1
        dealt[party] = {**dealt[party], hospital: {**dealt[party][hospital], 0: words}}
        return dealt

    return altered


@attack(
    by="node",
    to="learn",
    tries="to have another program opened by the others",
    costs="the run",
    seen="every honest party ends without a result",
)
def test_altered_bytecode_ends_every_honest_party(case: Case, tmp_path: Path) -> None:
    # when the nodes have compared what they compiled
    own = "cp -rL Programs own && rm Programs && mv own Programs && file=$(ls -S Programs/Bytecode/* | head -n 1)"
    flip = "printf x | dd of=$file bs=1 seek=$(($(stat -c %s $file) / {part})) conv=notrunc status=none"
    # A byte that makes no instruction at all ends the deviating engine itself, so several are tried.
    said = []
    for part in (2, 3, 4):
        folder = tmp_path / f"part-{part}"
        deviant = Deviant(case.settings, folder / "deviant", before=f"{own} && {flip.format(part=part)}")
        said.append(all_abort(case.outcomes(0, deviant, folder)))
    assert any("runs another program" in one for one in said), said


def test_no_engine_outlives_these_tests() -> None:
    assert not [
        each for each in psutil.Process(os.getpid()).children(recursive=True) if "-party.x" in " ".join(each.cmdline())
    ]
