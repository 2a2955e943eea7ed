"""Whatever goes wrong at one SPU party ends every party soon, with an error that names the peer and the cause."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pipeline.domain import HospitalName
from pipeline.errors import EngineFailed, PeerGaveUp
from pipeline.mpc import reference
from pipeline.mpc.engines.base import AggregateTask, Party, VerifyOutput, VerifyTask
from pipeline.mpc.engines.spu import engine as spu
from pipeline.mpc.engines.spu.engine import Spu
from pipeline.site.settings import PROJECT
from tests.adversary import attack
from tests.support.parties import deal, make_parties, outcomes_of, run_parties, self_signed
from tests.support.relay import delayed
from tests.support.tasks import LOGISTIC, SMALL_CNN, Words, random_round

pytestmark = pytest.mark.spu


@pytest.fixture
def small_round() -> tuple[VerifyTask, dict[HospitalName, Words]]:
    return random_round(LOGISTIC, 3, 4, None, seed=1)


@pytest.fixture(scope="module")
def long_round(tmp_path_factory: pytest.TempPathFactory) -> tuple[VerifyTask, dict[HospitalName, Words]]:
    """A round that computes for seconds, compiled already, so that there is a middle to fail in."""
    task, payloads = random_round(SMALL_CNN, 5, 32, None, seed=1)
    run_parties(Spu(), "aby3", task, payloads, tmp_path_factory.mktemp("compiled"))
    return task, payloads


def _party_process(party: Party) -> psutil.Process:
    """The process of a party, found by its private folder."""
    while True:
        for child in psutil.Process().children():
            try:
                if Path(child.cwd()).parent == party.workdir:
                    return child
            except psutil.Error:
                continue
        time.sleep(0.02)


def _once_computing(party: Party, act: Callable[[psutil.Process], None]) -> threading.Thread:
    """Act on the party's process once it has sent a megabyte: in the middle of its computation."""

    def wait() -> None:
        process = _party_process(party)
        while process.io_counters().write_chars < 1 << 20:
            time.sleep(0.02)
        act(process)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def _messages(outcomes: list[object]) -> list[str]:
    assert all(isinstance(outcome, EngineFailed) for outcome in outcomes), outcomes
    return [str(outcome) for outcome in outcomes]


def test_a_party_killed_in_mid_run_ends_the_others_at_once(
    long_round: tuple[VerifyTask, dict[HospitalName, Words]], tmp_path: Path
) -> None:
    task, payloads = long_round
    parties = make_parties(3, tmp_path, deadline_seconds=200)
    thread = _once_computing(parties[2], lambda process: process.kill())
    outcomes = outcomes_of(Spu(), "aby3", task, payloads, parties)
    thread.join()
    messages = _messages(list(outcomes))
    assert "killed (signal 9)" in messages[2]
    for message in messages[:2]:
        assert "node" in message
        assert "killed (signal 9)" in message or "vanished" in message
    assert [list(party.workdir.iterdir()) for party in parties] == [[], [], []]


def test_connections_that_break_in_mid_run_are_made_again_and_change_no_verdict(
    small_round: tuple[VerifyTask, dict[HospitalName, Words]], tmp_path: Path
) -> None:
    task, payloads = small_round
    parties = make_parties(3, tmp_path)
    # more than the parties' meeting carries
    with delayed(parties, 0.0, break_after=50_000) as apart:
        outputs = run_parties(Spu(), "aby3", task, payloads, tmp_path, apart)
    expected = reference.explain(task, payloads)
    assert [(output.accepted, output.budget) for output in outputs if isinstance(output, VerifyOutput)] == [
        (expected.accepted, expected.budget)
    ] * 3
    assert any("send request failed and retry" in party.log.read_text() for party in parties)


def test_a_stopped_party_ends_all_at_the_deadline(
    long_round: tuple[VerifyTask, dict[HospitalName, Words]], tmp_path: Path
) -> None:
    task, payloads = long_round
    parties = make_parties(3, tmp_path, deadline_seconds=25)
    thread = _once_computing(parties[1], lambda process: os.killpg(process.pid, signal.SIGSTOP))
    messages = _messages(list(outcomes_of(Spu(), "aby3", task, payloads, parties)))
    thread.join()
    assert any("no result within 25 s" in message for message in messages)


def test_no_share_is_ever_on_disk_even_of_a_killed_party(
    long_round: tuple[VerifyTask, dict[HospitalName, Words]], tmp_path: Path
) -> None:
    task, payloads = long_round
    parties = make_parties(3, tmp_path, deadline_seconds=200)
    shares = [
        words[:4].tobytes()
        for held in deal(payloads, 3)
        for components in held.values()
        for words in components.values()
    ]
    seen: list[str] = []
    leaks: list[Path] = []

    def look(process: psutil.Process | None = None) -> None:
        for file in filter(Path.is_file, tmp_path.rglob("*")):
            seen.append(file.name)
            content = file.read_bytes()
            leaks.extend(file for share in shares if share in content)
        if process is not None:
            process.kill()

    thread = _once_computing(parties[0], look)
    _messages(list(outcomes_of(Spu(), "aby3", task, payloads, parties)))
    thread.join()
    assert {"pinned.pem", "party.log"} <= set(seen)
    look()
    assert leaks == []


def test_a_peer_that_never_comes_is_named(
    small_round: tuple[VerifyTask, dict[HospitalName, Words]], tmp_path: Path
) -> None:
    task, payloads = small_round
    parties = make_parties(3, tmp_path, deadline_seconds=10)
    messages = _messages(list(outcomes_of(Spu(), "aby3", task, payloads, parties[:2])))
    assert any(f"node 2 ({parties[2].hosts[2]}): did not come by the deadline" in message for message in messages)


@pytest.mark.parametrize("missing", [0, 2])
def test_nobody_waits_for_a_peer_that_gave_up(
    missing: int, small_round: tuple[VerifyTask, dict[HospitalName, Words]], tmp_path: Path
) -> None:
    task, payloads = small_round
    parties = [
        replace(party, gave_up=lambda: "that node signed the end")
        for party in make_parties(3, tmp_path, deadline_seconds=3600)
        if party.index != missing
    ]
    outcomes = list(outcomes_of(Spu(), "aby3", task, payloads, parties))
    assert [type(outcome) for outcome in outcomes] == [PeerGaveUp, PeerGaveUp]
    assert all("that node signed the end; this computation cannot take place" in said for said in _messages(outcomes))


@pytest.mark.parametrize("foreign", [0, 2])
def test_a_certificate_that_is_not_pinned_is_refused(
    foreign: int, small_round: tuple[VerifyTask, dict[HospitalName, Words]], tmp_path: Path
) -> None:
    task, payloads = small_round
    parties = make_parties(3, tmp_path, deadline_seconds=10)
    certificate, key = self_signed(tmp_path / "foreign", f"node-{foreign}")
    parties[foreign] = replace(parties[foreign], certificate=certificate, private_key=key)
    messages = _messages(list(outcomes_of(Spu(), "aby3", task, payloads, parties)))
    assert any("certificate" in message for message in messages), messages


@attack(
    by="node",
    to="learn",
    tries="to sit in two nodes' places by its certificate",
    costs="nothing",
    seen="a party that was refused",
)
def test_one_pinned_certificate_cannot_stand_for_another_node(
    small_round: tuple[VerifyTask, dict[HospitalName, Words]], tmp_path: Path
) -> None:
    task, payloads = small_round
    parties = make_parties(3, tmp_path, deadline_seconds=10)
    parties[2] = replace(parties[2], certificate=parties[1].certificate, private_key=parties[1].private_key)
    _messages(list(outcomes_of(Spu(), "aby3", task, payloads, parties)))


def test_a_party_with_another_program_is_refused(
    small_round: tuple[VerifyTask, dict[HospitalName, Words]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, payloads = small_round
    parties = make_parties(3, tmp_path, deadline_seconds=60)
    place = threading.local()

    class Another(Spu):
        def verify(self, *arguments: object) -> object:  # type: ignore[override]
            place.other = True
            return super().verify(*arguments)  # type: ignore[arg-type]

    genuine = spu.program_digest()
    monkeypatch.setattr(spu, "program_digest", lambda: "0" * 64 if getattr(place, "other", False) else genuine)
    messages = _messages(list(outcomes_of([Spu(), Spu(), Another()], "aby3", task, payloads, parties)))
    assert any("its program differs" in message and "node 2" in message for message in messages), messages


def test_parties_with_different_tasks_do_not_compute(
    small_round: tuple[VerifyTask, dict[HospitalName, Words]], tmp_path: Path
) -> None:
    task, payloads = small_round
    parties = make_parties(3, tmp_path, deadline_seconds=60)
    looser = replace(task, rule=replace(task.rule, below_global_percent=99))

    class Another(Spu):
        def verify(self, protocol: str, task: VerifyTask, *arguments: object) -> object:  # type: ignore[override]
            return super().verify(protocol, looser, *arguments)  # type: ignore[arg-type]

    messages = _messages(list(outcomes_of([Another(), Spu(), Spu()], "aby3", task, payloads, parties)))
    assert any("its task differs" in message for message in messages), messages


def test_an_altered_executable_in_the_cache_is_refused(
    small_round: tuple[VerifyTask, dict[HospitalName, Words]], tmp_path: Path
) -> None:
    task, payloads = small_round
    cache = tmp_path / "cache"
    run_parties(Spu(), "aby3", task, payloads, tmp_path / "a")
    own = Spu(replace(Spu().settings, cache=cache))
    run_parties(own, "aby3", task, payloads, tmp_path / "b")
    (cached,) = cache.glob("spu/*.bin")
    cached.write_bytes(cached.read_bytes().replace(b"pphlo.less ", b"pphlo.greater ", 1))
    messages = _messages(
        list(outcomes_of([Spu(), Spu(), own], "aby3", task, payloads, make_parties(3, tmp_path / "c", 60)))
    )
    assert any("compiled program differs" in message for message in messages), messages


def test_a_party_that_is_not_told_to_start_ends_without_a_word_to_its_peers(
    small_round: tuple[VerifyTask, dict[HospitalName, Words]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, payloads = small_round
    monkeypatch.setattr(spu, "_START", b"\n")
    messages = _messages(list(outcomes_of(Spu(), "aby3", task, payloads, make_parties(3, tmp_path, 60))))
    assert any("ended with status 0" in message for message in messages), messages


def test_a_taken_port_is_named(small_round: tuple[VerifyTask, dict[HospitalName, Words]], tmp_path: Path) -> None:
    task, payloads = small_round
    parties = make_parties(3, tmp_path, deadline_seconds=10)
    host, port = parties[1].hosts[1].split(":")
    with socket.create_server((host, int(port))):
        messages = _messages(list(outcomes_of(Spu(), "aby3", task, payloads, parties)))
    assert f"{host}:{port}: cannot listen there" in messages[1]


def test_a_truncated_or_missing_component_is_named_before_anything_starts(
    small_round: tuple[VerifyTask, dict[HospitalName, Words]], tmp_path: Path
) -> None:
    task, payloads = small_round
    (party, *_) = make_parties(3, tmp_path)
    held = {hospital: dict(components) for hospital, components in deal(payloads, 3)[0].items()}
    hospital = task.hospitals[1]
    held[hospital][2] = held[hospital][2][:-1]
    with pytest.raises(EngineFailed, match=rf"{hospital}: component 2: got \d+ words, want"):
        Spu().verify("aby3", task, held, party)
    del held[hospital][2]
    with pytest.raises(EngineFailed, match=f"{hospital}: component 2: got nothing"):
        Spu().aggregate("aby3", AggregateTask(task.hospitals, LOGISTIC.size), held, party)


def test_two_computations_at_once_do_not_disturb_one_another(
    small_round: tuple[VerifyTask, dict[HospitalName, Words]], tmp_path: Path
) -> None:
    task, payloads = small_round
    aggregation = AggregateTask(task.hospitals, LOGISTIC.size)
    found: list[object] = []
    other = threading.Thread(
        target=lambda: found.extend(run_parties(Spu(), "aby3", aggregation, payloads, tmp_path / "a"))
    )
    other.start()
    outputs = run_parties(Spu(), "aby3", task, payloads, tmp_path / "b")
    other.join()
    assert len(outputs) == len(found) == 3


_NODE = """
import sys
from pathlib import Path
from pipeline.mpc.engines.base import Party
from pipeline.mpc.engines.spu.engine import Spu
from pipeline.site.settings import PROJECT
from tests.support.parties import deal
from tests.support.tasks import LOGISTIC, random_round
folder = Path(sys.argv[1])
hosts = tuple(sys.argv[2:])
certificates = tuple(folder / f"node-{i}" / "cert.pem" for i in range(3))
own = folder / "node-1"
party = Party(1, hosts, certificates[1], own / "key.pem", certificates, own / "work", own / "party.log", 120)
task, payloads = random_round(LOGISTIC, 3, 4, None, seed=1)
Spu().verify("aby3", task, deal(payloads, 3)[1], party)
"""


def test_no_party_outlives_its_killed_node(
    small_round: tuple[VerifyTask, dict[HospitalName, Words]], tmp_path: Path
) -> None:
    parties = make_parties(3, tmp_path)
    command = [sys.executable, "-c", _NODE, str(tmp_path), *parties[1].hosts]
    node = psutil.Popen(command, env=os.environ | {"PYTHONPATH": str(PROJECT)})
    while not (children := node.children()):
        time.sleep(0.05)
    node.kill()
    assert psutil.wait_procs(children, timeout=60)[1] == []


def test_a_missing_environment_is_told_with_its_cure(tmp_path: Path) -> None:
    class Elsewhere(type(Spu().settings)):  # type: ignore[misc]
        spu_python = tmp_path / "nowhere" / "python"

    settings = Spu().settings
    (problem,) = Spu(Elsewhere(**vars(settings))).problems()
    assert "make setup" in problem
