from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from pipeline.errors import EngineFailed
from pipeline.mpc import reference
from pipeline.mpc.engines import mp_spdz_workdir as workdir
from pipeline.mpc.engines.base import Party, VerifyOutput
from pipeline.mpc.engines.mp_spdz import NODES, MpSpdz
from pipeline.settings import PROJECT, Settings
from tests.support import parties as support
from tests.support.parties import make_parties, outcomes_of, run_parties, self_signed
from tests.support.tasks import LOGISTIC, SMALL_CNN, random_round

pytestmark = pytest.mark.mp_spdz


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> MpSpdz:
    return MpSpdz(replace(Settings.load(), cache=tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a test does, no run's folder and no engine outlives it; in a place of its own, so that no run beside the tests sweeps it."""
    place = workdir.RUNS.with_name(f"{workdir.RUNS.name}-test-{os.getpid()}")
    monkeypatch.setattr(workdir, "RUNS", place)
    yield
    left = runs(tmp_path)
    shutil.rmtree(place, ignore_errors=True)
    assert not left
    assert not list(tmp_path.rglob("Transactions-*"))
    assert not list(tmp_path.rglob("Memory-*"))
    assert not engines()


def runs(folder: Path) -> list[Path]:
    """Folders of runs: in memory, or beneath `folder` where the machine has no room there."""
    return [*workdir.RUNS.glob("run-*"), *folder.rglob("run-*")]


def engines(of: int | None = None) -> dict[int, psutil.Process]:
    """The running engine processes of this test, by party."""
    found = {}
    for process in psutil.Process(of).children(recursive=True):
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        # a script's first word is its interpreter
        if any(word.endswith("-party.x") for word in words[:2]):
            found[int(words[words.index("-p") + 1])] = process
    return found


def when_running(count: int, act: Callable[[dict[int, psutil.Process]], None], of: int | None = None) -> threading.Thread:
    """Act once all parties' engines are at work."""

    def wait() -> None:
        end = time.monotonic() + 60
        while len(found := engines(of)) < count and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(0.3)
        act(found)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def messages(outcomes: Sequence[object]) -> list[str]:
    assert all(isinstance(outcome, EngineFailed) for outcome in outcomes), outcomes
    return [str(outcome) for outcome in outcomes]


@pytest.mark.parametrize("protocol", NODES)
def test_a_killed_party_ends_the_others_at_once_and_they_name_it(engine: MpSpdz, protocol: str, tmp_path: Path) -> None:
    task, payloads = random_round(SMALL_CNN)
    members = make_parties(NODES[protocol], tmp_path)
    outcomes_of(engine, protocol, task, payloads, members)  # compiled, so that the next run starts everywhere at once
    killer = when_running(NODES[protocol], lambda found: found[2].kill())
    start = time.monotonic()
    said = messages(outcomes_of(engine, protocol, task, payloads, members))
    killer.join()
    assert time.monotonic() - start < members[0].deadline_seconds
    assert "party 2: the engine was killed by signal 9" in said[2]
    for party in set(range(NODES[protocol])) - {2}:
        assert f"node 2 ({members[2].hosts[2]})" in said[party]


def test_a_suspended_party_ends_everybody_at_the_deadline(engine: MpSpdz, tmp_path: Path) -> None:
    task, payloads = random_round(SMALL_CNN)
    members = make_parties(3, tmp_path, deadline_seconds=60)
    outcomes_of(engine, "replicated-ring", task, payloads, members)
    members = [replace(each, deadline_seconds=8) for each in members]
    stopper = when_running(3, lambda found: found[1].send_signal(signal.SIGSTOP))
    said = messages(outcomes_of(engine, "replicated-ring", task, payloads, members))
    stopper.join()
    assert "party 1: the engine was suspended" in said[1]
    for party in (0, 2):
        assert "node 1" in said[party]


@pytest.mark.parametrize("missing", [0, 2])
def test_a_missing_peer_is_named_at_our_own_deadline(engine: MpSpdz, missing: int, tmp_path: Path) -> None:
    task, payloads = random_round(LOGISTIC)
    members = make_parties(3, tmp_path, deadline_seconds=6)
    present = [each for each in members if each.index != missing]
    start = time.monotonic()
    said = messages(outcomes_of(engine, "replicated-ring", task, payloads, present))
    assert time.monotonic() - start < 40
    assert all(f"node {missing} ({members[0].hosts[missing]})" in words for words in said)


def test_a_party_with_another_key_than_the_pinned_one_is_refused(engine: MpSpdz, tmp_path: Path) -> None:
    task, payloads = random_round(LOGISTIC)
    members = make_parties(3, tmp_path, deadline_seconds=6)
    certificate, key = self_signed(tmp_path / "stranger", "node-1", "P1")
    pinned = tuple(certificate if index == 1 else path for index, path in enumerate(members[1].peer_certificates))
    members[1] = replace(members[1], certificate=certificate, private_key=key, peer_certificates=pinned)
    said = messages(outcomes_of(engine, "replicated-ring", task, payloads, members))
    assert "node 1" in said[2]
    assert "certificate" in said[2]
    assert "node 1" in said[0]


def test_the_engine_itself_refuses_a_party_without_the_pinned_key(engine: MpSpdz, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.mpc.engines import mp_spdz

    class Unguarded:
        """No meeting beforehand: what the engine's own TLS does."""

        failure = None

        def __init__(self, party: Party) -> None:
            self.party = party

        def __enter__(self) -> Unguarded:
            return self

        def __exit__(self, *_: object) -> None: ...
        def gather(self, *_: object) -> None: ...
        def agree(self, *_: object) -> None: ...
        def watch(self, *_: object) -> None: ...
        def leave(self, *_: object) -> None: ...

    monkeypatch.setattr(mp_spdz, "Meeting", Unguarded)
    task, payloads = random_round(LOGISTIC)
    members = make_parties(3, tmp_path, deadline_seconds=10)
    certificate, key = self_signed(tmp_path / "stranger", "node-1", "P1")
    pinned = tuple(certificate if index == 1 else path for index, path in enumerate(members[1].peer_certificates))
    members[1] = replace(members[1], certificate=certificate, private_key=key, peer_certificates=pinned)
    said = messages(outcomes_of(engine, "replicated-ring", task, payloads, members))
    assert any("certificate differs from the pinned one" in words for words in said)


def test_a_taken_port_is_named(engine: MpSpdz, tmp_path: Path) -> None:
    task, payloads = random_round(LOGISTIC)
    members = make_parties(3, tmp_path, deadline_seconds=6)
    host, port = members[1].hosts[1].split(":")
    with socket.create_server((host, int(port))):
        said = messages(outcomes_of(engine, "replicated-ring", task, payloads, members))
    assert port in said[1]
    assert "holds the port" in said[1]


def test_under_rep4_an_altered_component_ends_every_party(engine: MpSpdz, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task, payloads = random_round(LOGISTIC)
    deal = support.deal

    def altered(*arguments: object) -> list[object]:
        dealt = deal(*arguments)  # type: ignore[arg-type]
        words = dealt[3][task.hospitals[0]][0].copy()
        words[5] += 1
        dealt[3] = {**dealt[3], task.hospitals[0]: {**dealt[3][task.hospitals[0]], 0: words}}
        return list(dealt)

    monkeypatch.setattr(support, "deal", altered)
    said = messages(outcomes_of(engine, "rep4-ring", task, payloads, make_parties(4, tmp_path, deadline_seconds=30)))
    assert any("deviated from the protocol or holds altered components" in words for words in said)


def test_a_party_with_another_task_does_not_start(engine: MpSpdz, tmp_path: Path) -> None:
    task, payloads = random_round(LOGISTIC)

    class Other(MpSpdz):
        def verify(self, protocol: str, task: object, components: object, party: Party) -> VerifyOutput:
            looser = replace(task, rule=replace(task.rule, below_peers_percent=99))  # type: ignore[type-var,attr-defined]
            return super().verify(protocol, looser, components, party)  # type: ignore[arg-type]

    other = Other(replace(Settings.load(), cache=tmp_path / "cache"))
    members = make_parties(3, tmp_path, deadline_seconds=60)
    said = messages(outcomes_of([engine, other, engine], "replicated-ring", task, payloads, members))
    # whoever compares first says so and leaves; the third may find them gone
    assert "its task differs" in said[1] or "its task differs" in said[0]


def test_a_killed_worker_takes_its_engine_along_and_the_next_run_sweeps_its_folder(engine: MpSpdz, tmp_path: Path) -> None:
    # the third engine never comes, so that the other two are at work whenever the worker is killed
    absent = tmp_path / "absent-party.x"
    absent.write_text("#!/bin/sh\nkill -STOP $$\n")
    absent.chmod(0o700)
    worker = """
import sys
from dataclasses import replace
from pathlib import Path
from pipeline.mpc.engines import mp_spdz_workdir
from pipeline.mpc.engines.mp_spdz import MpSpdz
from pipeline.settings import Settings
from tests.support.parties import make_parties, outcomes_of
from tests.support.tasks import LOGISTIC, random_round
folder, mp_spdz_workdir.RUNS = map(Path, sys.argv[1:])
class Absent(MpSpdz):
    def _binary(self, protocol):
        return folder / "absent-party.x"
settings = replace(Settings.load(), cache=folder / "cache")
engine = MpSpdz(settings)
outcomes_of([engine, engine, Absent(settings)], "replicated-ring", *random_round(LOGISTIC), make_parties(3, folder))
"""
    process = subprocess.Popen([sys.executable, "-c", worker, str(tmp_path), str(workdir.RUNS)], cwd=PROJECT)
    running: list[psutil.Process] = []
    when_running(3, lambda found: running.extend(found.values()), process.pid).join()
    process.kill()
    process.wait()
    assert len(running) == 3
    _, alive = psutil.wait_procs(running, timeout=10)
    assert not alive
    assert len(runs(tmp_path)) == 3
    task, payloads = random_round(LOGISTIC)
    members = make_parties(3, tmp_path / "next")
    members = [replace(each, workdir=tmp_path / f"node-{each.index}" / "work") for each in members]
    for output in run_parties(engine, "replicated-ring", task, payloads, tmp_path, members):
        assert isinstance(output, VerifyOutput)
        assert (output.accepted, output.budget) == reference.verify(task, payloads)


def test_neither_log_nor_arguments_hold_a_secret(engine: MpSpdz, tmp_path: Path) -> None:
    task, payloads = random_round(LOGISTIC)
    canary = 271_828_182_845_904
    payloads[task.hospitals[0]][LOGISTIC.size] = canary
    seen: list[str] = []
    watcher = when_running(3, lambda found: seen.extend(word for process in found.values() for word in process.cmdline()))
    members = make_parties(3, tmp_path)
    outcomes_of(engine, "replicated-ring", *random_round(SMALL_CNN), members)
    watcher.join()
    outcomes_of(engine, "replicated-ring", task, payloads, members)
    assert seen
    logs = "".join(each.log.read_text() for each in members)
    found = reference.explain(task, payloads)
    hidden = {canary, *found.squared_norms, *(int(value) for value in payloads[task.hospitals[1]][:8] if abs(value) > 999)}
    for value in hidden:
        assert str(value) not in logs
        assert str(value) not in " ".join(seen)
    for party in members:
        assert party.log.stat().st_mode & 0o077 == 0
    assert np.array([canary]).tobytes() not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
