from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from cryptography import x509

from pipeline.errors import EngineFailed
from pipeline.mpc.engines.base import Party
from pipeline.mpc.engines.mp_spdz import certificates, durations, process, programs, shares, workdir
from pipeline.mpc.engines.mp_spdz.engine import MpSpdz
from pipeline.mpc.engines.mp_spdz.profiles import Profile
from pipeline.mpc.engines.mp_spdz.workdir import private_folder
from pipeline.mpc.engines.session.process_activity import ProcessActivity
from pipeline.site.settings import Settings
from tests.support.parties import deal, self_signed
from tests.support.tasks import LOGISTIC, MLP, random_round

OWN_WORDS = np.array([1, -5, 2**40, -(2**63)], dtype=np.int64)


@pytest.fixture
def engine(tmp_path: Path) -> MpSpdz:
    return MpSpdz(replace(Settings.load(), mp_spdz=tmp_path / "absent", cache=tmp_path / "cache"))


def party(folder: Path, nodes: int = 3, index: int = 0) -> Party:
    made = [self_signed(folder / f"{i}", f"node-{i}") for i in range(nodes)]
    hosts = tuple(f"127.0.0.1:{14000 + i}" for i in range(nodes))
    pinned = tuple(certificate for certificate, _ in made)
    return Party(index, hosts, *made[index], pinned, folder / "work", folder / "party.log", 5)


@pytest.mark.parametrize("nodes", [3, 4])
def test_every_component_stands_where_two_protocol_neighbours_expect_the_same(nodes: int) -> None:
    orders = [shares.layout(nodes, index) for index in range(nodes)]
    assert [set(order) for order in orders] == [set(range(nodes)) - {index} for index in range(nodes)]
    if nodes == 3:
        # replicated-ring: what a party stores second is what its predecessor stores first
        assert all(orders[index][1] == orders[index - 1][0] for index in range(3))


@pytest.mark.parametrize("nodes", [3, 4])
def test_a_share_file_holds_header_and_every_value_s_components_in_turn(nodes: int) -> None:
    held = [dealt["h"] for dealt in deal({"h": OWN_WORDS}, nodes)]  # type: ignore[dict-item]
    for index, components in enumerate(held):
        content = shares.encode([components, components], nodes, index)
        header = int.from_bytes(content[:8], "little") + 8
        assert int.from_bytes(content[header - 4 : header], "little") == 64
        words = np.frombuffer(content[header:], dtype="<i8").reshape(-1, nodes - 1)
        assert len(words) == 2 * len(OWN_WORDS)
        for column, component in enumerate(shares.layout(nodes, index)):
            assert (words[:4, column] == components[component]).all()


@pytest.mark.parametrize("nodes", [3, 4])
def test_public_values_are_components_of_which_one_is_not_zero(nodes: int) -> None:
    held = [shares.public(OWN_WORDS, nodes, index) for index in range(nodes)]
    for index, components in enumerate(held):
        assert set(components) == set(range(nodes)) - {index}
    everyone = held[0] | held[1]
    assert (sum(everyone[k] for k in range(nodes)) == OWN_WORDS).all()


def test_an_output_of_another_length_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "Binary-Output-P2-0").write_bytes(OWN_WORDS.tobytes())
    assert (shares.decode_output(tmp_path, 2, 4) == OWN_WORDS).all()
    with pytest.raises(EngineFailed, match="party 2: its engine wrote 4 of 5 output words"):
        shares.decode_output(tmp_path, 2, 5)
    with pytest.raises(EngineFailed, match="party 0: its engine wrote 0 of 1"):
        shares.decode_output(tmp_path, 0, 1)


def test_an_absent_engine_is_a_problem_with_its_cure(engine: MpSpdz) -> None:
    problems = engine.problems()
    (absent,) = [
        problem for problem in problems if "`wardround engine install mp-spdz`" in problem and "MP_SPDZ_HOME" in problem
    ]
    assert all(name in absent for name in ("compile.py", "Compiler", "replicated-ring-party.x", "rep4-ring-party.x"))


def test_a_certificate_must_name_its_party_and_no_other(tmp_path: Path) -> None:
    right, _ = self_signed(tmp_path / "right", "node-1", "P1")
    certificates.check(1, right.read_bytes())
    for names in (("node-1",), ("node-1", "P0"), ("node-1", "P1", "P0"), ("node-1", "P1", "p2")):
        wrong, _ = self_signed(tmp_path / "-".join(names), *names)
        with pytest.raises(EngineFailed, match="want P1 alone"):
            certificates.check(1, wrong.read_bytes())


def test_a_certificate_that_could_sign_for_another_node_is_refused(tmp_path: Path) -> None:
    authority, _ = self_signed(tmp_path, "node-1", "P1", authority=True)
    with pytest.raises(EngineFailed, match="CA:FALSE"):
        certificates.check(1, authority.read_bytes())


def test_a_party_s_own_certificate_names_its_place_and_is_good_for_a_clock_that_is_a_day_off() -> None:
    made = certificates.make(3)
    certificates.check(3, made.certificate.encode())
    certificate = x509.load_pem_x509_certificate(made.certificate.encode())
    day = timedelta(days=1)
    assert certificate.not_valid_before_utc < datetime.now(UTC) - day
    assert certificate.not_valid_after_utc > datetime.now(UTC) + day
    assert certificates.make(3).key != made.key


def test_certificates_are_found_by_their_hash_and_the_key_is_private(tmp_path: Path) -> None:
    made = [certificates.make(index) for index in range(3)]
    told = {index: made[index].certificate for index in (0, 2)}
    certificates.install(tmp_path, 1, made[1], told)
    assert (tmp_path / "P1.key").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "P0.key").exists()
    assert {link.resolve().name for link in tmp_path.glob("*.0")} == {"P0.pem", "P1.pem", "P2.pem"}


def test_a_peer_that_tells_no_certificate_or_another_party_s_is_named(tmp_path: Path) -> None:
    for told in (None, 7, ["P0"], "", "P0", certificates.make(2).certificate):
        with pytest.raises(EngineFailed, match="certificate of party 0"):
            certificates.install(tmp_path, 1, certificates.make(1), {0: told})


@pytest.fixture
def own_place(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A place of this test's own: other runs of this user sweep the usual one."""
    place = workdir.RUNS.with_name(f"{workdir.RUNS.name}-test-{os.getpid()}")
    monkeypatch.setattr(workdir, "RUNS", place)
    yield
    shutil.rmtree(place, ignore_errors=True)


@pytest.mark.usefixtures("own_place")
def test_the_private_folder_is_private_and_gone_after_an_error(tmp_path: Path) -> None:
    seen: list[Path] = []

    def fail_within() -> None:
        with private_folder(tmp_path / "work", 1000) as folder:
            seen.append(folder)
            assert folder.stat().st_mode & 0o777 == 0o700
            (folder / "share").write_bytes(b"secret")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_within()
    assert not seen[0].exists()


@pytest.mark.usefixtures("own_place")
def test_what_a_killed_run_left_is_swept_and_a_running_one_is_left_alone(tmp_path: Path) -> None:
    with private_folder(tmp_path / "work", 1000) as running:
        stale = running.parent / "run-killed"
        stale.mkdir()
        (stale / ".lock").touch()
        (stale / "share").write_bytes(b"secret")
        with private_folder(tmp_path / "work", 1000) as second:
            assert running.exists()
            assert second != running
        assert not stale.exists()


def run(command: list[str], folder: Path, seconds: float, cancelled: threading.Event | None = None) -> process.Ended:
    limits = process.RunLimits(time.monotonic() + seconds, cancelled or threading.Event(), patience_seconds=0.5)
    return process.run(command, folder, folder / "party.log", limits, ProcessActivity())


def test_a_process_that_ends_tells_its_code_and_cost(tmp_path: Path) -> None:
    ended = run(["sh", "-c", "echo 'Data sent = 1.5 MB in ~12 rounds (party 0 only)'; exit 3"], tmp_path, 20)
    assert ended.code == 3
    assert (ended.stats.bytes_sent, ended.stats.rounds) == (1_500_000, 12)


def test_at_the_deadline_the_process_and_its_children_are_gone(tmp_path: Path) -> None:
    ended = run(["sh", "-c", "sleep 60 & echo $! > child; wait"], tmp_path, 2.0)
    assert ended.code is None
    child = (
        psutil.Process(int((tmp_path / "child").read_text()))
        if psutil.pid_exists(int((tmp_path / "child").read_text()))
        else None
    )
    assert child is None or child.status() == psutil.STATUS_ZOMBIE or child.wait(timeout=5) is None


def test_a_failing_peer_ends_the_process_at_once(tmp_path: Path) -> None:
    cancelled = threading.Event()
    threading.Timer(0.2, cancelled.set).start()
    ended = run(["sleep", "60"], tmp_path, 60, cancelled)
    assert ended.code is None


def test_a_process_that_somebody_suspends_is_given_up(tmp_path: Path) -> None:
    ended = run(["sh", "-c", "kill -STOP $$"], tmp_path, 60)
    assert (ended.code, ended.suspended) == (None, True)
    assert "suspended by a signal" in process.cause(ended, tmp_path / "party.log").text


def test_the_next_run_may_take_ten_times_the_last_one_and_a_minute_at_any_rate(tmp_path: Path) -> None:
    bytecode = tmp_path / "verify-0123"
    assert durations.limit(bytecode) == float("inf")
    durations.note(bytecode, 30)
    assert durations.limit(bytecode) == 300
    durations.note(bytecode, 0.5)
    assert durations.limit(bytecode) == 60


@pytest.mark.parametrize(
    ("words", "meaning"),
    [
        ("Client-side handshake with P2 failed. Make sure", "party 2 was not let in"),
        ("cannot connect from node to 127.0.0.1:5001 after 9 attempts", "127.0.0.1:5001 did not answer"),
        ("Fatal error: Timed out waiting for peer. See", "a peer never connected"),
        ("This is probably because party 1 encountered a problem.", "party 1 broke off"),
        ("hash mismatch for sender 2 and backup 3", "party 2 or party 3 deviated"),
        (
            "components differ between parties 1 and 2\nCrash requested by program",
            "party 1 or party 2 holds altered components",
        ),
        ("Crash requested by program", "party 0's log says"),
        ("verify-0:111 (OPEN): MacCheck Failure", "a party deviated from the protocol or holds altered components"),
        ("program differs between parties", "another program"),
        ("Got to EOF when reading from disk (expecting 8 bytes from 28)", "share file is shorter"),
        ("Binding to socket on x:5000 failed (Address already in use), trying again", "port 5000 is taken"),
        ("No space left on device", "folder is full"),
        ("something new\nlast words", "last words"),
    ],
)
def test_the_engine_s_words_become_a_cause(words: str, meaning: str, tmp_path: Path) -> None:
    log = tmp_path / "party.log"
    ended = run(["true"], tmp_path, 20)
    log.write_text(words)
    assert meaning in process.cause(replace(ended, code=1), log).text


def test_the_key_of_a_compilation_depends_on_the_shape_alone() -> None:
    sizes: dict[str, Any] = {
        "nodes": 3,
        "hospitals": 5,
        "samples": 8,
        "largest_input": 255,
        "profile": Profile.LAN,
        "names_condition": False,
        "panel": None,
    }
    one = programs.shape(LOGISTIC, **sizes)
    assert one == programs.shape(LOGISTIC, **sizes)
    assert one != programs.shape(MLP, **sizes)
    assert one != programs.shape(LOGISTIC, **sizes | {"nodes": 4})
    assert one != programs.shape(LOGISTIC, **sizes | {"profile": Profile.WAN})
    assert one != programs.shape(LOGISTIC, **sizes | {"names_condition": True})
    assert one != programs.shape(LOGISTIC, **sizes | {"panel": 3})


def test_public_numbers_beyond_the_bit_budget_are_refused(engine: MpSpdz, tmp_path: Path) -> None:
    task, payloads = random_round(LOGISTIC)
    held = deal(payloads, 3)[0]
    own = party(tmp_path)
    for rule, message in (
        (replace(task.rule, budget=2**61), "got budget"),
        (replace(task.rule, budget=-1), "got budget"),
        (replace(task.rule, below_peers_percent=101), "got 101 percent"),
        (replace(task.rule, input_range=(3, 1)), "got input range 3 to 1"),
    ):
        with pytest.raises(EngineFailed, match=message):
            engine.verify("replicated-ring", replace(task, rule=rule), held, own)
    with pytest.raises(EngineFailed, match="previous model"):
        engine.verify("replicated-ring", replace(task, previous_model=task.previous_model + 2**19), held, own)


def test_components_that_do_not_fit_are_refused_by_name(engine: MpSpdz, tmp_path: Path) -> None:
    task, payloads = random_round(LOGISTIC)
    held = deal(payloads, 3)[0]
    own = party(tmp_path)
    name = task.hospitals[2]
    length = len(payloads[name])
    assert [set(each) for each in shares.checked(held, task.hospitals, 3, 0, length)] == [{1, 2}] * len(task.hospitals)
    with pytest.raises(EngineFailed, match=f"components \\[1\\] of {name}"):
        shares.checked({**held, name: {1: held[name][1]}}, task.hospitals, 3, 0, length)
    with pytest.raises(EngineFailed, match=f"component 2 of {name}"):
        shares.checked({**held, name: {1: held[name][1], 2: held[name][2][:-1]}}, task.hospitals, 3, 0, length)
    with pytest.raises(EngineFailed, match="want 4 for rep4-ring"):
        engine.verify("rep4-ring", task, held, own)
    with pytest.raises(EngineFailed, match="want one of replicated-ring, rep4-ring"):
        engine.verify("shamir", task, held, own)
