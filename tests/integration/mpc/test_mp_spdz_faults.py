from __future__ import annotations

import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import psutil
import pytest

from pipeline.domain import HospitalName
from pipeline.errors import EngineFailed
from pipeline.mpc import reference
from pipeline.mpc.engines.base import Party, Task, VerifyOutput, VerifyTask
from pipeline.mpc.engines.mp_spdz import certificates, durations, workdir
from pipeline.mpc.engines.mp_spdz.engine import NODES, MpSpdz
from pipeline.mpc.engines.mp_spdz.profiles import Profile
from pipeline.site.settings import PROJECT, Settings
from tests.adversary import attack
from tests.support import parties as support
from tests.support.deviant import Deviant, shim
from tests.support.parties import make_parties, outcomes_of, run_parties, self_signed
from tests.support.tasks import LOGISTIC, Words, random_round

pytestmark = pytest.mark.mp_spdz


@pytest.fixture(scope="session")
def settings() -> Settings:
    return Settings.load()


@pytest.fixture(scope="session")
def engine(settings: Settings) -> MpSpdz:
    return MpSpdz(settings)


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a test does, no secret and no engine outlives it.

    In a place of its own, so that no run beside the tests sweeps it.
    """
    place = workdir.RUNS.with_name(f"{workdir.RUNS.name}-test-{os.getpid()}")
    monkeypatch.setattr(workdir, "RUNS", place)
    dealt: list[Words] = []
    deal = support.share

    def share(*arguments: Any) -> list[Words]:
        dealt.extend(components := deal(*arguments))
        return components

    monkeypatch.setattr(support, "share", share)
    yield
    left = runs(tmp_path)
    files = [file for root in (tmp_path, place) for file in root.rglob("*") if file.is_file() and not file.is_symlink()]
    secrets = [words[:4].tobytes() for words in dealt]
    telling = [
        file for file in files for content in [file.read_bytes()] if any(secret in content for secret in secrets)
    ]
    shutil.rmtree(place, ignore_errors=True)
    assert dealt
    assert not left
    assert not telling
    assert not [file for file in files if file.name.startswith(("Transactions-", "Memory-"))]
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


def when_running(
    count: int, act: Callable[[dict[int, psutil.Process]], None], of: int | None = None
) -> threading.Thread:
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


def elsewhere(
    engine: MpSpdz | list[MpSpdz],
    task: VerifyTask,
    payloads: Mapping[HospitalName, Words],
    members: Sequence[Party],
    folder: Path,
    **env: str,
) -> subprocess.Popen[bytes]:
    """A worker process that runs these parties."""
    package = folder / "worker"
    package.write_bytes(pickle.dumps((engine, "replicated-ring", task, payloads, members)))
    code = """
import pickle, sys
from pathlib import Path
from pipeline.mpc.engines.mp_spdz import workdir
from tests.support.parties import outcomes_of
workdir.RUNS, package = map(Path, sys.argv[1:])
outcomes_of(*pickle.loads(package.read_bytes()))
"""
    return subprocess.Popen([sys.executable, "-c", code, workdir.RUNS, package], cwd=PROJECT, env=os.environ | env)


def messages(outcomes: Sequence[object]) -> list[str]:
    assert all(isinstance(outcome, EngineFailed) for outcome in outcomes), outcomes
    return [str(outcome) for outcome in outcomes]


MIDDLE = 40
"""A message in the middle of the smallest round."""


def all_but(place: int, engine: MpSpdz, other: MpSpdz, count: int = 3) -> list[MpSpdz]:
    return [other if index == place else engine for index in range(count)]


@pytest.mark.parametrize("protocol", NODES)
def test_a_killed_party_ends_the_others_at_once_and_they_name_it(
    engine: MpSpdz, settings: Settings, protocol: str, tmp_path: Path
) -> None:
    task, payloads = random_round(LOGISTIC)
    members = make_parties(NODES[protocol], tmp_path)
    killed = Deviant(settings, tmp_path / "killed", "kill", MIDDLE)
    start = time.monotonic()
    said = messages(outcomes_of(all_but(2, engine, killed, len(members)), protocol, task, payloads, members))
    assert time.monotonic() - start < members[0].deadline_seconds
    assert killed.did
    assert "party 2: the engine was killed by signal 9" in said[2]
    for party in set(range(NODES[protocol])) - {2}:
        assert f"node 2 ({members[2].hosts[2]})" in said[party]


@attack(
    by="node",
    to="delay",
    tries="to hold the engine up in mid-run",
    costs="the run, under its name",
    seen="the others name it",
)
def test_a_suspended_party_ends_everybody_and_they_name_it(engine: MpSpdz, settings: Settings, tmp_path: Path) -> None:
    task, payloads = random_round(LOGISTIC)
    members = [replace(each, patience_seconds=2) for each in make_parties(3, tmp_path)]
    suspended = Deviant(settings, tmp_path / "suspended", "stop", MIDDLE)
    start = time.monotonic()
    said = messages(outcomes_of(all_but(1, engine, suspended), "replicated-ring", task, payloads, members))
    assert time.monotonic() - start < members[0].deadline_seconds
    assert suspended.did
    for words in said:
        assert "node 1" in words or "party 1" in words
        assert "suspended" in words


def test_a_node_that_is_suspended_as_a_whole_is_named_by_the_others(
    engine: MpSpdz, settings: Settings, tmp_path: Path
) -> None:
    task, payloads = random_round(LOGISTIC)
    members = [replace(each, patience_seconds=2) for each in make_parties(3, tmp_path)]
    suspended = Deviant(settings, tmp_path / "suspended", "stop", MIDDLE)
    worker = elsewhere(suspended, task, payloads, [members[1]], tmp_path)

    def suspend() -> None:
        suspended.await_act()
        worker.send_signal(signal.SIGSTOP)

    thread = threading.Thread(target=suspend)
    thread.start()
    said = messages(outcomes_of(engine, "replicated-ring", task, payloads, [members[0], members[2]]))
    thread.join()
    worker.kill()
    worker.wait()
    # what the killed worker leaves the next run sweeps
    run_parties(engine, "replicated-ring", task, payloads, tmp_path, members)
    for words in said:
        assert "node 1" in words
        assert "suspended" in words


def test_without_any_engine_at_work_the_run_ends(engine: MpSpdz, settings: Settings, tmp_path: Path) -> None:
    task, payloads = random_round(LOGISTIC)
    members = [replace(each, patience_seconds=2) for each in make_parties(3, tmp_path)]
    hanging = Deviant(settings, tmp_path / "hanging", "wait", MIDDLE)
    said = messages(outcomes_of(all_but(1, engine, hanging), "replicated-ring", task, payloads, members))
    assert hanging.did
    assert any("no engine worked for 2 s" in words for words in said)


def test_a_run_that_takes_much_longer_than_the_last_one_of_its_shape_is_given_up(
    engine: MpSpdz, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, payloads = random_round(LOGISTIC)
    members = make_parties(3, tmp_path)
    run_parties(engine, "replicated-ring", task, payloads, tmp_path, members)
    monkeypatch.setattr(durations, "_AT_LEAST_SECONDS", 1.0)
    monkeypatch.setattr(durations, "_TIMES", 1.0)
    endless = Deviant(settings, tmp_path / "endless", before="while :; do :; done")
    start = time.monotonic()
    said = messages(outcomes_of(all_but(1, engine, endless), "replicated-ring", task, payloads, members))
    assert time.monotonic() - start < members[0].deadline_seconds
    assert any("no end within" in words for words in said)


def test_a_party_whose_share_file_is_too_short_ends_everybody_and_is_named(
    engine: MpSpdz, settings: Settings, tmp_path: Path
) -> None:
    task, payloads = random_round(LOGISTIC)
    members = make_parties(3, tmp_path)
    short = Deviant(settings, tmp_path / "short", before="truncate -s -8 Persistence/*")
    said = messages(outcomes_of(all_but(1, engine, short), "replicated-ring", task, payloads, members))
    assert all("party 1: the share file is shorter than the program expects" in words for words in said)


@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_a_party_that_lacks_a_component_tells_the_others(
    engine: MpSpdz, damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, payloads = random_round(LOGISTIC)
    deal = support.deal
    name = task.hospitals[2]

    def short(*arguments: Any) -> list[Any]:
        dealt: list[Any] = deal(*arguments)
        held = {0: dealt[1][name][0][:-1], 2: dealt[1][name][2]} if damage == "truncated" else {2: dealt[1][name][2]}
        dealt[1] = {**dealt[1], name: held}
        return dealt

    monkeypatch.setattr(support, "deal", short)
    said = messages(outcomes_of(engine, "replicated-ring", task, payloads, make_parties(3, tmp_path)))
    cause = f"component 0 of {name} is not" if damage == "truncated" else f"got components [2] of {name}"
    assert all(f"party 1: {cause}" in words for words in said)


def test_a_full_disk_under_an_engine_ends_everybody_and_names_the_party(
    engine: MpSpdz, settings: Settings, tmp_path: Path
) -> None:
    task, payloads = random_round(LOGISTIC)
    members = make_parties(3, tmp_path)
    full = Deviant(settings, tmp_path / "full", before="export DEVIANT_FULL=Player-Data/")
    said = messages(outcomes_of(all_but(2, engine, full), "replicated-ring", task, payloads, members))
    assert all("party 2" in words or "node 2" in words for words in said)
    assert any("full" in words for words in said)


def test_a_full_disk_under_a_node_is_told_to_the_others(engine: MpSpdz, settings: Settings, tmp_path: Path) -> None:
    task, payloads = random_round(LOGISTIC)
    members = make_parties(3, tmp_path)
    worker = elsewhere(
        engine, task, payloads, members[2:], tmp_path, LD_PRELOAD=str(shim()), DEVIANT_FULL="Transactions-P2"
    )
    said = messages(outcomes_of(engine, "replicated-ring", task, payloads, members[:2]))
    worker.wait()
    for words in said:
        assert "node 2" in words
        assert "No space left on device" in words


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
    certificate, key = self_signed(tmp_path / "stranger", "node-1")
    pinned = tuple(certificate if index == 1 else path for index, path in enumerate(members[1].peer_certificates))
    members[1] = replace(members[1], certificate=certificate, private_key=key, peer_certificates=pinned)
    said = messages(outcomes_of(engine, "replicated-ring", task, payloads, members))
    assert "node 1" in said[2]
    assert "certificate" in said[2]
    assert "node 1" in said[0]


@attack(
    by="stranger",
    to="learn",
    tries="to sit among the nodes under a certificate of its own",
    costs="nothing",
    seen="a party that was refused",
)
def test_the_engine_itself_refuses_a_party_without_the_pinned_key(
    engine: MpSpdz, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.mpc.engines.mp_spdz import engine as mp_spdz

    told: dict[int, object] = {}
    all_told = Barrier(3)

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
        def exchange(self, what: str, own: str) -> dict[int, object]:
            # the others hold another certificate of party 1 than it has the key to
            told[self.party.index] = certificates.make(1).certificate if self.party.index == 1 else own
            all_told.wait()
            return {peer: pem for peer, pem in told.items() if peer != self.party.index}

        def round_trip(self) -> float:
            return 0.0

        def watch(self, *_: object) -> None: ...
        def leave(self, *_: object) -> None: ...

    monkeypatch.setattr(mp_spdz, "Rendezvous", Unguarded)
    task, payloads = random_round(LOGISTIC)
    members = make_parties(3, tmp_path, deadline_seconds=10)
    said = messages(outcomes_of(engine, "replicated-ring", task, payloads, members))
    assert any("certificate differs from the pinned one" in words for words in said), said


def test_a_taken_port_is_named(engine: MpSpdz, tmp_path: Path) -> None:
    task, payloads = random_round(LOGISTIC)
    members = make_parties(3, tmp_path, deadline_seconds=6)
    host, port = members[1].hosts[1].split(":")
    with socket.create_server((host, int(port))):
        said = messages(outcomes_of(engine, "replicated-ring", task, payloads, members))
    assert port in said[1]
    assert "holds the port" in said[1]


def test_a_party_with_another_task_does_not_start(engine: MpSpdz, tmp_path: Path) -> None:
    task, payloads = random_round(LOGISTIC)

    class Other(MpSpdz):
        def verify(self, protocol: str, task: object, components: object, party: Party) -> VerifyOutput:
            looser = replace(task, rule=replace(task.rule, below_peers_percent=99))  # type: ignore[type-var,attr-defined]
            return super().verify(protocol, looser, components, party)  # type: ignore[arg-type]

    other = Other(Settings.load())
    members = make_parties(3, tmp_path, deadline_seconds=60)
    said = messages(outcomes_of([engine, other, engine], "replicated-ring", task, payloads, members))
    # whoever compares first says so and leaves; the third may find them gone
    assert "its task differs" in said[1] or "its task differs" in said[0]


def test_a_killed_worker_takes_its_engine_along_and_the_next_run_sweeps_its_folder(
    engine: MpSpdz, settings: Settings, tmp_path: Path
) -> None:
    task, payloads = random_round(LOGISTIC)
    members = make_parties(3, tmp_path)
    # the third engine never comes, so that the other two are at work whenever the worker is killed
    absent = Deviant(settings, tmp_path / "absent", before="kill -STOP $$")
    worker = elsewhere(all_but(2, engine, absent), task, payloads, members, tmp_path)
    running: list[psutil.Process] = []
    when_running(3, lambda found: running.extend(found.values()), worker.pid).join()
    worker.kill()
    worker.wait()
    assert len(running) == 3
    _, alive = psutil.wait_procs(running, timeout=10)
    assert not alive
    assert len(runs(tmp_path)) == 3
    for output in run_parties(engine, "replicated-ring", task, payloads, tmp_path, members):
        assert isinstance(output, VerifyOutput)
        assert (output.accepted, output.budget) == reference.verify(task, payloads)


def test_neither_log_nor_arguments_hold_a_secret(engine: MpSpdz, settings: Settings, tmp_path: Path) -> None:
    task, payloads = random_round(LOGISTIC)
    canary = 271_828_182_845_904
    payloads[task.hospitals[0]][LOGISTIC.size] = canary
    seen: list[str] = []
    members = make_parties(3, tmp_path)
    waiting = Deviant(settings, tmp_path / "waiting", "wait", MIDDLE)

    def look() -> None:
        waiting.await_act()
        seen.extend(word for process in engines().values() for word in process.cmdline())
        waiting.go_on()

    watcher = threading.Thread(target=look)
    watcher.start()
    outcomes = outcomes_of([waiting, engine, engine], "replicated-ring", task, payloads, members)
    watcher.join()
    assert all(isinstance(outcome, VerifyOutput) for outcome in outcomes), outcomes
    assert sum(word.endswith("-party.x") for word in seen) == 3
    logs = "".join(each.log.read_text() for each in members)
    found = reference.explain(task, payloads)
    hidden = {
        canary,
        *found.squared_norms,
        *(int(value) for value in payloads[task.hospitals[1]][:8] if abs(value) > 999),
    }
    for value in hidden:
        assert str(value) not in logs
        assert str(value) not in " ".join(seen)
    for party in members:
        assert party.log.stat().st_mode & 0o077 == 0
    assert np.array([canary]).tobytes() not in b"".join(
        path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()
    )


def test_a_party_that_is_not_ready_by_the_deadline_is_not_said_to_have_left(settings: Settings, tmp_path: Path) -> None:
    task, payloads = random_round(LOGISTIC)

    class Slow(MpSpdz):
        def _compiled(self, protocol: str, task: Task, profile: Profile) -> Path:
            time.sleep(6)
            return super()._compiled(protocol, task, profile)

    ready = MpSpdz(settings, Profile.LAN)
    ready.prepare("replicated-ring", task)
    members = make_parties(3, tmp_path, deadline_seconds=5)
    runners = [ready, ready, Slow(settings, Profile.LAN)]
    said = messages(outcomes_of(runners, "replicated-ring", task, payloads, members))
    assert all("node 2" in words and "not ready by the deadline" in words for words in said[:2]), said
