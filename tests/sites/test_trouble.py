"""What happens between machines: in each case the round ends, says whom it missed and why, and the next one runs.

One consortium, one fault after the other; the last round is without any, and an audit of all finds nothing lost.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest

from pipeline.site.settings import PROJECT
from tests.sites.conftest import AT_AUDITOR, AT_NODES, HOSPITALS, Sites
from tests.support.machines.lab import PARTIES, SITES
from tests.support.machines.machine import Machine

pytestmark = [
    pytest.mark.sites,
    pytest.mark.machines,
    pytest.mark.store,
    pytest.mark.anvil,
    pytest.mark.airflow,
    pytest.mark.spu,
    pytest.mark.timeout(1800),
]

_ROUND_SECONDS = 900

_PROCESS_MANAGER = """
import sys
from pipeline.services.services import STORE, supervisor
from pipeline.site.settings import Settings
supervisor(Settings.load())._call(sys.argv[1], STORE)
"""


_CONSOLE = """
import sys
from pipeline.site.settings import Settings
from tests.support.console import PROVIDER, client
print(client(Settings.load(), PROVIDER).get(f"/rounds/{sys.argv[1]}").text)
"""

_UP_AS_ANOTHER_VERSION = """
import sys
from pipeline.site import worker_report
worker_report.own_version = lambda: "0.0.1"
from pipeline.entry import main
sys.argv = ["wardround", "up"]
main()
"""

_FULL_SECONDS = 90
"""Longer than between two looks of the watch."""

_SPARE_MEBIBYTES = 400
"""Room on a small disk beside what lies there: enough for rounds, soon filled."""


@pytest.fixture(scope="module")
def noticing(up: Sites) -> Sites:
    """The provider wants notices. Nobody takes them, so what was sent stands in the watch's own file."""
    up.provider.receive("address", b"json://127.0.0.1:9/")
    up.provider.run("chmod", "600", "address")
    up.provider.wardround("notices", "add", "--address-file", "address")
    up.provider.wardround("up", seconds=400)
    # What had ended before its first look is told to nobody.
    until(lambda: '"ended": [' in up.provider.run("cat", "site/watch.json", ends_with=None))
    return up


def noticed(sites: Sites, *words: str) -> bool:
    """Whether a notice of these words was sent."""
    waiting = json.loads(sites.provider.run("cat", "site/watch.json"))["waiting"]
    return any(all(word in f"{one['title']} {one['text']}" for word in words) for one in waiting)


def console(sites: Sites, number: int) -> str:
    """The page of a round, as the provider's people see it."""
    return sites.provider.run("env", f"--chdir={PROJECT}", "python", "-c", _CONSOLE, str(number))


def told_as_aborted(sites: Sites, number: int) -> None:
    """`show`, the console and a notice say of a round that it has no model."""
    assert "aborted" in sites.provider.wardround("show", str(number))
    assert "aborted" in console(sites, number)
    until(lambda: noticed(sites, f"round {number} of study small was aborted"))


def told_as_absent(sites: Sites, number: int, hospital: str) -> None:
    """`show`, the console and a notice say of a round whom it missed, and why."""
    for said in (sites.provider.wardround("show", str(number)), console(sites, number)):
        assert re.search(rf"{hospital}.*?it shared no update in time", said, re.DOTALL), said
    until(lambda: noticed(sites, f"absent in round {number} of study small", hospital, "it shared no update in time"))


@contextmanager
def on_a_small_disk(machine: Machine) -> Iterator[None]:
    """Let a site lie on a disk of its own with little room, and back where it was."""
    machine.wardround("down")
    size = int(machine.run("du", "-sm", "site").split()[0]) + _SPARE_MEBIBYTES
    disk = str(machine.home / "disk")
    machine.as_root("mkdir", "-p", disk)
    machine.as_root("mount", "-t", "tmpfs", "-o", f"size={size}m,mode=755", "none", disk)
    machine.as_root("cp", "-a", f"{machine.site}/.", disk)
    for like in ("chown", "chmod"):
        machine.as_root(like, f"--reference={machine.site}", disk)
    machine.as_root("mount", "--bind", disk, str(machine.site))
    machine.wardround("up", seconds=400)
    try:
        yield
    finally:
        machine.wardround("down")
        machine.as_root("umount", str(machine.site))
        # What came meanwhile comes along; what went, as databases' files do, goes too.
        machine.as_root("sh", "-c", f"find {machine.site} -mindepth 1 -delete; cp -a {disk}/. {machine.site}")
        machine.as_root("umount", disk)
        machine.wardround("up", seconds=400)


def last(sites: Sites) -> int:
    """The number of the last round."""
    return max(map(int, re.findall(r"^\W*(\d+)\b", sites.provider.wardround("rounds"), re.MULTILINE)), default=0)


def play(sites: Sites, meanwhile: Callable[[], object] = lambda: None) -> tuple[str, str]:
    """One round, with something happening meanwhile; what the terminal and then `show` said."""
    with ThreadPoolExecutor(1) as pool:
        command = pool.submit(sites.provider.wardround, "run", "small", seconds=_ROUND_SECONDS, ends_with=None)
        meanwhile()
        said = command.result()
    return said, sites.provider.wardround("show", str(last(sites)))


def everybody_is_accepted(said: str, shown: str, but: Sequence[str] = ()) -> None:
    """The round has a model of all hospitals but these."""
    assert "finalised" in shown, f"{said}\n{shown}"
    assert shown.count("accepted") == len(HOSPITALS) - len(but), f"{said}\n{shown}"


def processes(machine: Machine, part: str) -> list[int]:
    """The processes at a machine with this part in their command lines, by their numbers there."""
    return sorted(number for number, command in machine.look().processes.items() if part in " ".join(command))


def until(happens: Callable[[], object], seconds: float = 240) -> None:
    """Wait for it."""
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def reached(sites: Sites, step: str) -> Callable[[], bool]:
    """Whether a step of the running round was ever at work at a node's or hospital's site, as its log there says."""
    before = {name: _log(machine).count(step) for name, machine in sites.machines.items()}
    return lambda: any(_log(machine).count(step) > before[name] for name, machine in sites.machines.items())


def _log(machine: Machine) -> str:
    path = machine.path("site/logs/worker.log")
    return path.read_text(errors="replace") if path.exists() else ""


@contextmanager
def impaired(machine: Machine, network: str, **how: float) -> Iterator[None]:
    """A bad wire to a machine."""
    machine.links[network].impair(**how)  # type: ignore[arg-type]
    try:
        yield
    finally:
        machine.links[network].mend()


def test_a_hospital_that_is_off_for_the_whole_time_to_hand_in_is_absent_and_takes_part_again(up: Sites) -> None:
    birch = up.machines["hospital-birch"]
    birch.wardround("down")
    said, shown = play(up)
    everybody_is_accepted(said, shown, but=["birch"])
    assert re.search(r"birch .*absent \(it shared no update in time\)", shown), shown
    assert "validate_birch failed, so birch is absent: the site of birch did not take it in time" in said
    birch.wardround("up", seconds=400)
    everybody_is_accepted(*play(up))


def test_bad_wires_make_rounds_slow_and_keep_nobody_out(up: Sites) -> None:
    slow, silent = up.machines["hospital-aster"], up.machines["hospital-dahlia"]
    north = up.machines["node-north"]
    with (
        impaired(slow, SITES.name, rate=256_000, delay=0.1),
        impaired(silent, SITES.name, idle=60),
        impaired(north, SITES.name, delay=0.02, loss=0.01),
        impaired(north, PARTIES.name, delay=0.02, loss=0.01),
    ):
        everybody_is_accepted(*play(up))


def test_a_worker_that_is_killed_between_two_steps_comes_back_for_the_next_one(up: Sites) -> None:
    cedar = up.machines["hospital-cedar"]
    trained = reached(up, "Job completed: dag_id=round_small task_id=validate_cedar")

    def kill() -> None:
        until(trained)
        cedar.as_root("kill", "-9", *map(str, processes(cedar, "airflow edge worker")))

    everybody_is_accepted(*play(up, kill))


def test_a_database_that_is_restarted_costs_no_round(up: Sites) -> None:
    validating = reached(up, "Received job: dag_id=round_small task_id=validate_")

    def restart() -> None:
        until(validating)
        first = processes(up.provider, "postgres")[0]
        up.provider.as_root("kill", "-INT", str(first))
        until(lambda: processes(up.provider, "postgres")[:1] not in ([], [first]))

    everybody_is_accepted(*play(up, restart))


def test_a_node_that_is_cut_off_while_it_verifies_comes_back_or_the_round_is_aborted_and_names_it(up: Sites) -> None:
    west = up.machines["node-west"]
    verifying = reached(up, "Received job: dag_id=round_small task_id=verify_west")

    def cut() -> None:
        until(verifying)
        for link in west.links.values():
            link.down()
        time.sleep(30)
        for link in west.links.values():
            link.up()

    said, shown = play(up, cut)
    if "aborted" in shown:
        assert "west" in shown, f"{said}\n{shown}"
    else:
        everybody_is_accepted(said, shown)
    everybody_is_accepted(*play(up))


def test_a_store_that_is_gone_for_two_minutes_costs_a_round_at_most(noticing: Sites) -> None:
    up = noticing
    validating = reached(up, "Received job: dag_id=round_small task_id=validate_")

    def take_away() -> None:
        until(validating)
        up.provider.python(_PROCESS_MANAGER, "stopProcess")
        down = time.monotonic()
        # Whoever looks is told which service it is.
        assert re.search(r"^ *store .*stopped", up.provider.wardround("status", ends_with=1), re.MULTILINE)
        time.sleep(max(0.0, 120 - (time.monotonic() - down)))
        up.provider.python(_PROCESS_MANAGER, "startProcess")

    said, shown = play(up, take_away)
    if "aborted" in shown:
        assert "store" in said, f"{said}\n{shown}"
        told_as_aborted(up, last(up))
    everybody_is_accepted(*play(up))


def test_a_provider_s_disk_that_is_full_costs_a_round_at_most_and_is_told(noticing: Sites) -> None:
    provider = noticing.provider
    number = last(noticing)
    with on_a_small_disk(provider):
        # At the provider's own site: its log lies on the small disk, where the test does not see it.
        begun = "grep -c 'Received job: dag_id=round_small task_id=commit' site/logs/worker.log"
        before = int(provider.run("sh", "-c", begun, ends_with=None).strip() or 0)

        def fill() -> None:
            until(lambda: int(provider.run("sh", "-c", begun, ends_with=None).strip() or 0) > before)
            provider.run("sh", "-c", "cat /dev/zero > site/filler", ends_with=None)
            time.sleep(_FULL_SECONDS)
            provider.run("rm", "site/filler")
            # Whatever gave up meanwhile is started again.
            provider.wardround("up", seconds=400)
            # Sent while the disk was full, and written down since.
            until(lambda: noticed(noticing, "disk low"))

        said, shown = play(noticing, fill)
        if last(noticing) > number and "aborted" in shown:
            told_as_aborted(noticing, last(noticing))
        else:
            assert "finalised" in shown, f"{said}\n{shown}"
        everybody_is_accepted(*play(noticing))
    everybody_is_accepted(*play(noticing))


def test_a_site_whose_version_changed_after_joining_is_told_both_and_is_absent(noticing: Sites) -> None:
    cedar = noticing.machines["hospital-cedar"]
    cedar.wardround("down")
    said = cedar.python(_UP_AS_ANOTHER_VERSION, ends_with=2, seconds=400)
    assert "got a site of Wardround 0.0.1, the provider's is" in said, said
    assert "install one version at all sites" in said, said
    said, shown = play(noticing)
    everybody_is_accepted(said, shown, but=["cedar"])
    told_as_absent(noticing, last(noticing), "cedar")
    cedar.wardround("up", seconds=400)
    everybody_is_accepted(*play(noticing))


def test_a_clock_that_is_16_minutes_wrong_is_called_so(up: Sites) -> None:
    cedar = up.machines["hospital-cedar"]
    cedar.wardround("down")
    cedar.clock = timedelta(minutes=16)
    try:
        said = cedar.wardround("up", seconds=400, ends_with=None)
    finally:
        cedar.wardround("down")
        cedar.clock = timedelta()
    assert "clock" in said, said
    assert "credentials" not in said, said
    cedar.wardround("up", seconds=400)


def test_a_certificate_that_has_expired_or_is_another_authority_s_is_called_so(up: Sites) -> None:
    owl = up.machines[AT_AUDITOR]
    owl.clock = timedelta(days=20 * 365)
    try:
        said = owl.wardround("rounds", ends_with=None)
    finally:
        owl.clock = timedelta()
    assert "certificate has expired" in said, said
    authority = owl.path("site/authority.pem")
    right = authority.read_bytes()
    authority.write_bytes(owl.path(f"site/certificates/{AT_NODES[0].removeprefix('node-')}.pem").read_bytes())
    try:
        said = owl.wardround("rounds", ends_with=None)
    finally:
        authority.write_bytes(right)
    assert "its certificate does not hold" in said, said
    owl.wardround("rounds")


def test_a_site_of_another_version_is_refused_with_both_versions(up: Sites) -> None:
    owl = up.machines[AT_AUDITOR]
    program = """
from pipeline.joining import site_file
site_file.VERSION = "0.0.1"
from pipeline.site.settings import Settings
from pipeline.site.site import Site, SiteRole
from pipeline.setup import sites
sites.init(Site(role=SiteRole.HOSPITAL, name="older"), None, Settings.load())
"""
    owl.run("env", f"WARDROUND_HOME={owl.home}/older", "python", "-c", program)
    file = up.provider.receive("older.json", owl.path("older/card.json").read_bytes())
    said = up.provider.wardround("site", "invite", file, ends_with=2)
    assert "0.0.1" in said, said
    assert "install one version at all sites" in said, said


def test_after_all_of_it_a_round_runs_and_every_round_holds(up: Sites) -> None:
    everybody_is_accepted(*play(up))
    count = last(up)
    assert f"{count} of {count} rounds hold" in up.machines[AT_AUDITOR].wardround("audit", "--all", seconds=400)
