"""A whole study between machines: members are up, owners approve, three rounds run, the auditor audits and verifies."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from tests.sites import table
from tests.sites.conftest import AT_AUDITOR, AT_HOSPITALS, AT_NODES, BETWEEN_MACHINES, HOSPITALS, WORKING, Sites
from tests.sites.table import SiteRow
from tests.support.machines.lab import PARTIES, SITES
from tests.support.machines.machine import Seen
from tests.support.machines.members import PROVIDER

pytestmark = [*BETWEEN_MACHINES, pytest.mark.spu, pytest.mark.timeout(1800)]

ROUNDS = 3
_LOOK_SECONDS = 3.0
"""Between two looks at the machines, which take as long as a step on a machine of two cores."""


@dataclass
class Rounds:
    """The study's rounds, and what was seen at the machines while the first one ran."""

    sites: Sites
    said: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    seen: dict[str, list[Seen]] = field(default_factory=lambda: {name: [] for name in (PROVIDER, *WORKING, AT_AUDITOR)})

    ends: dict[str, set[tuple[str, int]]] = field(default_factory=dict)
    """Of all connections of each node while it ran: an engine's stand for seconds."""

    def everything(self, names: Sequence[str]) -> list[Seen]:
        return [seen for name in names for seen in self.seen[name]]

    def play(self, looks: bool) -> None:
        """One round, as the provider asks for it."""
        began = time.monotonic()
        with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
            if looks:
                machines = self.sites.machines
                self.ends = {name: stack.enter_context(machines[name].watched()) for name in AT_NODES}
            command = pool.submit(self.sites.provider.wardround, "run", "small", seconds=1200, ends_with=None)
            while looks and not command.done():
                for name, seen in self.seen.items():
                    seen.append(self.sites.machines[name].look())
                time.sleep(_LOOK_SECONDS)
            self.said.append(command.result())
        self.seconds.append(time.monotonic() - began)


@pytest.fixture(scope="module")
def played(up: Sites) -> Rounds:
    """The study's rounds; machines are looked at in the first, so that the others' seconds are their own."""
    made = Rounds(up)
    for number in range(ROUNDS):
        made.play(looks=number == 0)
    return made


def test_each_site_starts_by_one_command_and_answers(up: Sites) -> None:
    for name in (PROVIDER, *WORKING):
        up.machines[name].wardround("status")


def test_no_start_approves_anything_on_an_owner_s_behalf(up: Sites) -> None:
    for name in WORKING:
        assert "study small waits for its owner" in up.said[name, "up"]
        assert "approved small with digest" in up.said[name, "approve"]


def test_a_study_of_which_members_are_missing_waits_for_their_cards(up: Sites) -> None:
    assert "study breast_cancer waits for the cards of" in up.said["hospital-aster", "up"]


def test_nothing_runs_at_an_auditor_s_site(up: Sites) -> None:
    assert "nothing runs at an auditor's site" in up.machines[AT_AUDITOR].wardround("up")
    assert not up.machines[AT_AUDITOR].look().processes


def test_each_round_of_all_sites_ends_with_a_model(played: Rounds) -> None:
    for number in range(1, ROUNDS + 1):
        said = played.sites.provider.wardround("show", str(number))
        assert f"Round {number} of small: finalised" in said, f"{played.said[number - 1]}\n{said}"
        assert said.count("accepted") == len(HOSPITALS)


def test_no_hospital_listens_and_it_calls_the_provider_s_one_port_alone(played: Rounds) -> None:
    provider = (played.sites.provider.address(SITES), 8443)
    seen = played.everything(AT_HOSPITALS)
    assert not {socket for moment in seen for socket in moment.listening}
    assert {socket for moment in seen for socket in moment.connected} == {provider}


def test_a_node_listens_to_the_other_nodes_alone_and_calls_nobody_beside_them_but_the_provider(played: Rounds) -> None:
    provider = (played.sites.provider.address(SITES), 8443)
    for name in AT_NODES:
        ends = played.ends[name]
        others = {(host, port) for host, port in ends if host.startswith(f"{PARTIES.prefix}.")}
        assert ends - others == {provider}, name
        assert others, name


def test_the_auditor_audits_and_verifies_a_proof_bundle_at_its_own_site(played: Rounds) -> None:
    auditor = played.sites.machines[AT_AUDITOR]
    assert f"{ROUNDS} of {ROUNDS} rounds hold" in auditor.wardround("audit", "--all")
    auditor.wardround("proof", str(ROUNDS), "--out", "round.zip")
    # It asks nobody, and could: the link is down.
    auditor.links[SITES.name].down()
    try:
        said = auditor.wardround("verify", "round.zip", "--nodes", "site/consortium.yaml")
    finally:
        auditor.links[SITES.name].up()
    assert f"Proof of round {ROUNDS}" in said


def test_what_ran_where_is_written_down(played: Rounds) -> None:
    machines = played.sites.machines
    names = {machine.address(network): name for name, machine in machines.items() for network in (SITES, PARTIES)}
    names |= dict.fromkeys(("0.0.0.0", "::"), "everywhere")  # noqa: S104
    rows = [SiteRow.of(name, seen, names, played.ends.get(name, set())) for name, seen in played.seen.items()]
    table.write_sites(rows)
    table.write("rounds", played.seconds)
    of_site = {row.site: row for row in rows}
    assert not of_site[AT_AUDITOR].programs
    for name in WORKING:
        assert {"Airflow's Edge worker", "process manager"} <= set(of_site[name].programs)


def test_a_site_that_goes_down_leaves_nothing_running(played: Rounds) -> None:
    birch = played.sites.machines["hospital-birch"]
    birch.wardround("down")
    assert not birch.look().processes
