"""Machines of a consortium: each has its own folder, user, processes and networks, and reaches whom it may reach."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from pipeline.site.settings import PROJECT
from tests.support.machines.lab import PARTIES, SITES
from tests.support.machines.machine import Machine, Service
from tests.support.machines.members import PROVIDER, machines

pytestmark = pytest.mark.machines

PORT = 8000

CALL = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20):
        print("open", end="")
except OSError as error:
    print(error.strerror or error, end="")
"""

# Says after how many seconds all had come, then waits for each further byte and sends it back.
SERVER = """
import socket, sys
with socket.create_server(("", int(sys.argv[1]))) as server:
    print("listens", flush=True)
    while True:
        connection, _ = server.accept()
        while data := connection.recv(1 << 16):
            connection.sendall(data)
"""

FETCH = """
import socket, sys, time
wanted = int(sys.argv[3])
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as connection:
    begun = time.monotonic()
    connection.sendall(b"x" * wanted)
    while wanted:
        wanted -= len(connection.recv(1 << 16))
print(time.monotonic() - begun)
"""

PAUSE = """
import socket, sys, time
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as connection:
    connection.settimeout(2)
    for pause in (0.1, 0.1, 3):
        time.sleep(pause)
        connection.sendall(b"x")
        try:
            print(connection.recv(1).decode(), end="")
        except TimeoutError:
            print("-", end="")
"""

EXISTING = """
import os, sys
print(*filter(os.path.exists, sys.argv[1:]))
"""

HOLD = """
import socket, sys, time
with socket.create_connection((sys.argv[1], int(sys.argv[2]))):
    print("holds", flush=True)
    time.sleep(600)
"""

SEND = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    for _ in range(200):
        client.sendto(b"x", (sys.argv[1], int(sys.argv[2])))
"""

DATAGRAMS = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.bind(("", int(sys.argv[1])))
    print("listens", flush=True)
    server.settimeout(3)
    count = 0
    try:
        while server.recv(100):
            count += 1
    except TimeoutError:
        print(count)
"""


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Machine]]:
    folder = tmp_path_factory.mktemp("lab")
    with machines(folder, hospitals=["wren", "heron"], nodes=["north", "south"], auditors=["owl"]) as made:
        yield made


@pytest.fixture(scope="module")
def servers(members: Mapping[str, Machine]) -> Mapping[str, Service]:
    """Something that listens at every machine, at all its addresses."""
    started = {name: machine.start("server", "python", "-c", SERVER, str(PORT)) for name, machine in members.items()}
    for server in started.values():
        _until(lambda server=server: "listens" in server.said())  # type: ignore[misc]
    return started


def _until(met: Callable[[], bool]) -> None:
    limit = time.monotonic() + 60
    while not met():
        assert time.monotonic() < limit
        time.sleep(0.05)


def _call(caller: Machine, host: str) -> str:
    return caller.python(CALL, host, str(PORT))


def test_a_machine_sees_its_own_folder_and_no_other(members: Mapping[str, Machine], tmp_path: Path) -> None:
    for name, machine in members.items():
        machine.run("sh", "-c", f"umask 077; echo {name} | tee key > /tmp/key")
        assert (machine.folder / "key").read_text() == f"{name}\n"
    hidden = [machine.folder for machine in members.values()] + [PROJECT / ".wardround" / "hospitals", tmp_path]
    for name, machine in members.items():
        assert machine.run("sh", "-c", "cat /home/*/key /tmp/key").split() == [name, name]
        assert machine.python(EXISTING, *map(str, hidden)) == "\n"


def test_a_machine_writes_into_its_own_folder_alone(members: Mapping[str, Machine]) -> None:
    wren = members["hospital-wren"]
    for folder in ("/", "/home", "/etc", "/usr/local", str(PROJECT), str(Path(sys.executable).parents[1])):
        said = wren.run("touch", f"{folder}/trace", ends_with=1)
        assert "Read-only file system" in said or "Permission denied" in said, folder
    wren.run("touch", f"{wren.home}/trace", "/tmp/trace", "/dev/shm/trace")  # noqa: S108


def test_each_machine_has_a_user_of_its_own_who_is_no_administrator(members: Mapping[str, Machine]) -> None:
    users = {name: machine.run("id", "-u", "-n").strip() for name, machine in members.items()}
    assert users == {name: name for name in members}
    assert len({machine.run("id", "-u") for machine in members.values()}) == len(members)
    assert members[PROVIDER].run("hostname") == f"{PROVIDER}\n"
    for command in (("ip", "link", "set", "sites", "down"), ("umount", "/home"), ("ip", "route", "add", "default")):
        members["hospital-wren"].run(*command, ends_with=None)
    assert "default" not in members["hospital-wren"].run("ip", "route")
    assert "Operation not permitted" in members["hospital-wren"].run("ip", "link", "set", "lo", "down", ends_with=2)


@pytest.mark.usefixtures("servers")
def test_a_machine_sees_no_process_of_another(members: Mapping[str, Machine]) -> None:
    for machine in members.values():
        assert machine.run("pgrep", "-c", "python") == "1\n"
        seen = machine.look()
        assert [command[:2] for command in seen.processes.values()] == [["python", "-c"]]
        assert seen.listening == {("0.0.0.0", PORT)}  # noqa: S104
        assert seen.memory > 1 << 20


@pytest.mark.usefixtures("servers")
def test_everybody_reaches_the_provider_by_name(members: Mapping[str, Machine]) -> None:
    for machine in members.values():
        assert _call(machine, PROVIDER) == "open"


@pytest.mark.usefixtures("servers")
def test_nobody_but_the_provider_is_reached_on_the_sites_network(members: Mapping[str, Machine]) -> None:
    wren = members["hospital-wren"]
    for name in ("hospital-heron", "node-north", "auditor-owl"):
        assert _call(wren, members[name].address(SITES)) == "No route to host"
    assert _call(members["node-north"], members["node-south"].address(SITES)) == "No route to host"
    assert _call(members["node-north"], wren.address(SITES)) == "No route to host"


@pytest.mark.usefixtures("servers")
def test_nodes_reach_one_another_on_a_network_where_nobody_else_is(members: Mapping[str, Machine]) -> None:
    assert _call(members["node-north"], "node-south") == "open"
    parties = members["node-south"].address(PARTIES)
    for outsider in (PROVIDER, "hospital-wren", "auditor-owl"):
        assert _call(members[outsider], parties) == "Network is unreachable"
        assert _call(members[outsider], "node-south") in (
            "Name or service not known",
            "Temporary failure in name resolution",
        )


def test_no_machine_reaches_what_is_outside(members: Mapping[str, Machine]) -> None:
    for machine in members.values():
        assert _call(machine, "192.0.2.1") == "Network is unreachable"
        assert "default" not in machine.run("ip", "route")


def test_connections_are_seen_from_within(members: Mapping[str, Machine], servers: Mapping[str, Service]) -> None:
    wren = members["hospital-wren"]
    holder = wren.start("holder", "python", "-c", HOLD, PROVIDER, str(PORT))
    _until(lambda: "holds" in holder.said())
    assert wren.look().connected == {(members[PROVIDER].address(SITES), PORT)}
    assert {host for host, _ in members[PROVIDER].look().connected} == {wren.address(SITES)}
    holder.kill()
    _until(lambda: not wren.look().connected)


def test_a_connection_that_has_ended_is_known_to_whoever_watched(
    members: Mapping[str, Machine], servers: Mapping[str, Service]
) -> None:
    wren = members["hospital-wren"]
    with wren.watched() as ends:
        holder = wren.start("brief", "python", "-c", HOLD, PROVIDER, str(PORT))
        _until(lambda: "holds" in holder.said())
        time.sleep(3)
        holder.kill()
    assert ends == {(members[PROVIDER].address(SITES), PORT)}
    assert servers["hospital-wren"].process.is_running()


def test_a_link_goes_down_and_comes_back(members: Mapping[str, Machine], servers: Mapping[str, Service]) -> None:
    north = members["node-north"]
    north.links["parties"].down()
    assert _call(north, "node-south") in ("No route to host", "timed out")
    assert _call(north, PROVIDER) == "open"
    north.links["parties"].up()
    assert _call(north, "node-south") == "open"
    assert servers["node-north"].process.is_running()


@pytest.mark.usefixtures("servers")
def test_a_slow_link_takes_its_time(members: Mapping[str, Machine]) -> None:
    heron = members["hospital-heron"]
    heron.links["sites"].impair(rate=256_000, delay=0.1)
    try:
        seconds = float(heron.python(FETCH, PROVIDER, str(PORT), str(64 * 1024)))
    finally:
        heron.links["sites"].mend()
    # There and back overlap, since the server answers while it reads.
    assert seconds > 64 * 1024 * 8 / 256_000
    assert _call(heron, PROVIDER) == "open"


def test_a_lossy_link_loses_some(members: Mapping[str, Machine]) -> None:
    south = members["node-south"]
    south.links["sites"].impair(loss=0.3, seed=1)
    counter = members[PROVIDER].start("counter", "python", "-c", DATAGRAMS, "9000")
    _until(lambda: "listens" in counter.said())
    south.python(SEND, PROVIDER, "9000")
    counter.starter.wait()
    south.links["sites"].mend()
    assert 60 < int(counter.said().split()[1]) < 195


@pytest.mark.usefixtures("servers")
def test_a_firewall_forgets_an_idle_connection_and_takes_a_new_one(members: Mapping[str, Machine]) -> None:
    heron = members["hospital-heron"]
    heron.links["sites"].impair(idle=2)
    try:
        assert heron.python(PAUSE, PROVIDER, str(PORT)) == "xx-"
        assert _call(heron, PROVIDER) == "open"
    finally:
        heron.links["sites"].mend()


def test_a_clock_is_wrong_for_one_machine_alone(members: Mapping[str, Machine]) -> None:
    wren = members["hospital-wren"]
    ask = "import threading, time; threading.Event().wait(0.01); print(time.time())"
    wren.clock = timedelta(minutes=16)
    try:
        ahead = float(wren.python(ask)) - time.time()
    finally:
        wren.clock = timedelta()
    assert ahead == pytest.approx(16 * 60, abs=30)
    assert abs(float(members["hospital-heron"].python(ask)) - time.time()) < 30


def test_a_machine_is_switched_off_and_on_and_keeps_its_folder(tmp_path: Path) -> None:
    with machines(tmp_path, hospitals=["wren"]) as members:
        wren = members["hospital-wren"]
        server = wren.start("server", "python", "-c", SERVER, str(PORT))
        _until(lambda: "listens" in server.said())
        process = server.process
        wren.run("touch", "kept")
        wren.switch_off()
        assert not process.is_running()
        wren.switch_on()
        assert not wren.look().processes
        assert wren.run("ls") == "kept\n"
        assert _call(wren, PROVIDER) == "Connection refused"


def test_a_command_that_is_stopped_or_too_slow_leaves_no_process(members: Mapping[str, Machine]) -> None:
    owl = members["auditor-owl"]
    before = owl.look().processes
    with pytest.raises(subprocess.TimeoutExpired):
        owl.run("sleep", "600", seconds=0.5)
    sleeper = owl.start("sleeper", "sleep", "600")
    _until(lambda: len(owl.look().processes) > len(before))
    sleeper.stop()
    _until(lambda: not any("sleep" in command[0] for command in owl.look().processes.values()))


def test_nothing_is_left_when_the_test_is_killed(tmp_path: Path) -> None:
    text = """
import json, sys, time
from pathlib import Path
from tests.support.machines.members import machines
with machines(Path(sys.argv[1]), hospitals=["wren"], nodes=["north"]) as members:
    members["node-north"].links["parties"].impair(delay=0.01)
    for machine in members.values():
        machine.start("server", "python", "-m", "http.server", "8000")
        machine.run("sh", "-c", "setsid sleep 6000 >/dev/null 2>&1 &")
    print("stands", flush=True)
    time.sleep(600)
"""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    before = _interfaces()
    with subprocess.Popen(
        [sys.executable, "-c", text, str(tmp_path)], env=environment, stdout=subprocess.PIPE
    ) as tester:
        assert tester.stdout is not None
        assert tester.stdout.readline() == b"stands\n"
        processes = psutil.Process(tester.pid).children(recursive=True)
        alive = [
            process for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"] == ["sleep", "6000"]
        ]
        assert len(alive) == 3
        assert _interfaces() == before
        tester.send_signal(signal.SIGKILL)
    gone, left = psutil.wait_procs([*processes, *alive], timeout=60)
    assert not left
    assert len(gone) > 10
    assert not any(str(tmp_path) in line for line in Path("/proc/self/mounts").read_text().splitlines())


def _interfaces() -> set[str]:
    return set(psutil.net_if_addrs())
