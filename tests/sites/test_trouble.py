"""What happens between machines: in each case the round ends, says whom it missed and why, and the next one runs.

One consortium, one fault after the other; the last round is without any, and an audit of all finds nothing lost.
"""

from __future__ import annotations

import re
import time
from datetime import timedelta

import pytest

from tests.sites.conftest import AT_AUDITOR, AT_NODES, BETWEEN_MACHINES, Sites
from tests.sites.faults import (
    Faults,
    impaired,
    last,
    noticed,
    on_a_small_disk,
    on_one_line,
    play,
    processes,
    reached,
    told_as_aborted,
    told_as_absent,
    until,
    watched,
)
from tests.support.machines.lab import PARTIES, SITES

pytestmark = [*BETWEEN_MACHINES, pytest.mark.spu, pytest.mark.timeout(1800)]

_PROCESS_MANAGER = """
import sys
from pipeline.services.services import STORE, supervisor
from pipeline.site.settings import Settings
supervisor(Settings.load())._call(sys.argv[1], STORE)
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


@pytest.fixture(scope="module")
def faults() -> Faults:
    """Written down after each test, for the docs' table."""
    return Faults([])


@pytest.fixture(scope="module")
def noticing(up: Sites) -> Sites:
    """The provider wants notices. Nobody takes them, so what was sent stands in the watch's own file."""
    up.provider.receive("address", b"json://127.0.0.1:9/")
    up.provider.run("chmod", "600", "address")
    up.provider.wardround("notices", "add", "--address-file", "address")
    up.provider.wardround("up", seconds=400)
    # What had ended before its first look is told to nobody.
    until(lambda: watched(up) is not None)
    return up


def test_a_hospital_that_is_off_for_the_whole_time_to_hand_in_is_absent_and_takes_part_again(
    up: Sites, faults: Faults
) -> None:
    birch = up.machines["hospital-birch"]
    birch.wardround("down")
    without = play(up)
    without.accepts_all_but("birch")
    without.says(r"birch .*absent \(it shared no update in time\)")
    told = without.says("validate_birch failed, so birch is absent: the site of birch did not take it in time")
    faults.add("A hospital is off for the whole time to hand in", without, told)
    birch.wardround("up", seconds=400)
    play(up).accepts_all_but()


def test_bad_wires_make_rounds_slow_and_keep_nobody_out(up: Sites, faults: Faults) -> None:
    slow, silent = up.machines["hospital-aster"], up.machines["hospital-dahlia"]
    north = up.machines["node-north"]
    with (
        impaired(slow, SITES.name, rate=256_000, delay=0.1),
        impaired(silent, SITES.name, idle=60),
        impaired(north, SITES.name, delay=0.02, loss=0.01),
        impaired(north, PARTIES.name, delay=0.02, loss=0.01),
    ):
        slowly = play(up)
    slowly.accepts_all_but()
    faults.add(
        "At once: a hospital at 256 kbit/s and 200 ms, one behind a firewall that drops what idles for 60 s, a node"
        " behind 40 ms and 1 % loss",
        slowly,
    )


def test_a_worker_that_is_killed_between_two_steps_comes_back_for_the_next_one(up: Sites, faults: Faults) -> None:
    cedar = up.machines["hospital-cedar"]
    trained = reached(up, "Job completed: dag_id=round_small task_id=validate_cedar")

    def kill() -> None:
        until(trained)
        cedar.as_root("kill", "-9", *map(str, processes(cedar, "airflow edge worker")))

    killed = play(up, kill)
    killed.accepts_all_but()
    faults.add("A hospital's worker is killed between two steps", killed)


def test_a_database_that_is_restarted_costs_no_round(up: Sites, faults: Faults) -> None:
    validating = reached(up, "Received job: dag_id=round_small task_id=validate_")

    def restart() -> None:
        until(validating)
        first = processes(up.provider, "postgres")[0]
        up.provider.as_root("kill", "-INT", str(first))
        until(lambda: processes(up.provider, "postgres")[:1] not in ([], [first]))

    restarted = play(up, restart)
    restarted.accepts_all_but()
    faults.add("The provider's database is restarted", restarted)


def test_a_node_that_is_cut_off_while_it_verifies_comes_back_or_the_round_is_aborted_and_names_it(
    up: Sites, faults: Faults
) -> None:
    west = up.machines["node-west"]
    verifying = reached(up, "Received job: dag_id=round_small task_id=verify_west")

    def cut() -> None:
        until(verifying)
        for link in west.links.values():
            link.down()
        time.sleep(30)
        for link in west.links.values():
            link.up()

    fault = "A node is cut off for 30 s while it verifies"
    with_cut = play(up, cut)
    if with_cut.is_aborted:
        faults.add(fault, with_cut, with_cut.says(r"[^\n]*\bwest\b[^\n]*"))
    else:
        with_cut.accepts_all_but()
        faults.add(fault, with_cut)
    play(up).accepts_all_but()


def test_a_store_that_is_gone_for_two_minutes_costs_a_round_at_most(noticing: Sites, faults: Faults) -> None:
    up = noticing
    validating = reached(up, "Received job: dag_id=round_small task_id=validate_")
    seen_stopped: list[str] = []

    def take_away() -> None:
        until(validating)
        up.provider.python(_PROCESS_MANAGER, "stopProcess")
        down = time.monotonic()
        # Whoever looks is told which service it is.
        stopped = re.search(r"^ *store .*stopped", up.provider.wardround("status", ends_with=1), re.MULTILINE)
        assert stopped
        seen_stopped.append(stopped[0])
        time.sleep(max(0.0, 120 - (time.monotonic() - down)))
        up.provider.python(_PROCESS_MANAGER, "startProcess")

    without_store = play(up, take_away)
    if without_store.is_aborted:
        without_store.says("store")
        told_as_aborted(up, last(up))
    faults.add("The store is gone for two minutes", without_store, f"`status`: {seen_stopped[0]}")
    play(up).accepts_all_but()


def test_a_provider_s_disk_that_is_full_costs_a_round_at_most_and_is_told(noticing: Sites, faults: Faults) -> None:
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

        filled = play(noticing, fill)
        if last(noticing) > number and filled.is_aborted:
            told_as_aborted(noticing, last(noticing))
        else:
            assert "finalised" in filled.shown, f"{filled.said}\n{filled.shown}"
        faults.add("The provider's disk is full for a minute and a half", filled, "a notice: disk low")
        play(noticing).accepts_all_but()
    play(noticing).accepts_all_but()


def test_a_site_whose_version_changed_after_joining_is_told_both_and_is_absent(noticing: Sites, faults: Faults) -> None:
    cedar = noticing.machines["hospital-cedar"]
    cedar.wardround("down")
    said = cedar.python(_UP_AS_ANOTHER_VERSION, ends_with=2, seconds=400)
    assert "got a site of Wardround 0.0.1, the provider's is" in said, said
    assert "install one version at all sites" in said, said
    without = play(noticing)
    without.accepts_all_but("cedar")
    told_as_absent(noticing, last(noticing), "cedar")
    faults.add("A hospital installs another version", without, on_one_line(said, "got a site of Wardround"))
    cedar.wardround("up", seconds=400)
    play(noticing).accepts_all_but()


def test_a_clock_that_is_16_minutes_wrong_is_called_so(up: Sites, faults: Faults) -> None:
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
    faults.add("A hospital's clock is 16 minutes wrong", "its `up` is refused", on_one_line(said, "clock"))
    cedar.wardround("up", seconds=400)


def test_a_certificate_that_has_expired_or_is_another_authority_s_is_called_so(up: Sites, faults: Faults) -> None:
    owl = up.machines[AT_AUDITOR]
    owl.clock = timedelta(days=20 * 365)
    try:
        said = owl.wardround("rounds", ends_with=None)
    finally:
        owl.clock = timedelta()
    assert "certificate has expired" in said, said
    faults.add("The provider's certificate has expired", "the command is refused", on_one_line(said, "expired"))
    authority = owl.path("site/authority.pem")
    right = authority.read_bytes()
    authority.write_bytes(owl.path(f"site/certificates/{AT_NODES[0].removeprefix('node-')}.pem").read_bytes())
    try:
        said = owl.wardround("rounds", ends_with=None)
    finally:
        authority.write_bytes(right)
    assert "its certificate does not hold" in said, said
    faults.add("It is another authority's", "the command is refused", on_one_line(said, "does not hold"))
    owl.wardround("rounds")


def test_a_site_of_another_version_is_refused_with_both_versions(up: Sites, faults: Faults) -> None:
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
    faults.add("A site of another version wants to join", "the invitation is refused", on_one_line(said, "0.0.1"))


def test_after_all_of_it_a_round_runs_and_every_round_holds(up: Sites) -> None:
    play(up).accepts_all_but()
    count = last(up)
    assert f"{count} of {count} rounds hold" in up.machines[AT_AUDITOR].wardround("audit", "--all", seconds=400)
