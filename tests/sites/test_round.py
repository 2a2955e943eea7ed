"""A whole round between machines: members are up, owners approve, the provider runs, the auditor audits."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from pipeline.site.settings import PROJECT
from tests.sites.conftest import AUDITOR, HOSPITALS, NODES, Sites
from tests.support.machines.lab import PARTIES, SITES
from tests.support.machines.machine import Seen
from tests.support.machines.members import PROVIDER

pytestmark = [
    pytest.mark.sites,
    pytest.mark.machines,
    pytest.mark.store,
    pytest.mark.anvil,
    pytest.mark.airflow,
    pytest.mark.spu,
    pytest.mark.timeout(1800),
]

AT_HOSPITALS = tuple(f"hospital-{name}" for name in HOSPITALS)
AT_NODES = tuple(f"node-{name}" for name in NODES)
WORKING = (*AT_HOSPITALS, *AT_NODES)
AT_AUDITOR = f"auditor-{AUDITOR}"


@dataclass
class Round:
    """One round, and what was seen at the machines while it ran."""

    sites: Sites
    said: str = ""
    seen: dict[str, list[Seen]] = field(default_factory=lambda: {name: [] for name in WORKING})

    def everything(self, names: Sequence[str]) -> list[Seen]:
        return [seen for name in names for seen in self.seen[name]]


@pytest.fixture(scope="module")
def up(sites: Sites) -> Sites:
    """All sites are up, and owners have approved."""
    for name in AT_HOSPITALS:
        module = ("python", "-m", "tests.support.machines.records", "small")
        sites.machines[name].run("env", f"--chdir={PROJECT}", *module)
    with ThreadPoolExecutor(3) as pool:
        started = {name: pool.submit(sites.machines[name].wardround, "up", seconds=400) for name in WORKING}
        sites.said.update({(name, "up"): command.result() for name, command in started.items()})
    # Whoever registered itself meanwhile takes part from now on, and studies whose nodes are known stand on the ledger.
    sites.said[PROVIDER, "second up"] = sites.provider.wardround("up", seconds=400)
    for name in WORKING:
        sites.said[name, "approve"] = sites.machines[name].wardround("study", "approve", "small")
    return sites


@pytest.fixture(scope="module")
def played(up: Sites) -> Round:
    """One round, as the provider asked for it."""
    made = Round(up)
    with ThreadPoolExecutor(1) as pool:
        command = pool.submit(up.provider.wardround, "run", "small", seconds=1200)
        while not command.done():
            for name in WORKING:
                made.seen[name].append(up.machines[name].look())
        made.said = command.result()
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


def test_a_round_of_all_sites_ends_with_a_model(played: Round) -> None:
    said = played.sites.provider.wardround("show", "1")
    assert "Round 1 of small: finalised" in said, f"{played.said}\n{said}"
    assert said.count("accepted") >= len(HOSPITALS)


def test_no_hospital_listens_and_it_calls_the_provider_s_one_port_alone(played: Round) -> None:
    provider = (played.sites.provider.address(SITES), 8443)
    seen = played.everything(AT_HOSPITALS)
    assert not {socket for each in seen for socket in each.listening}
    assert {socket for each in seen for socket in each.connected} == {provider}


def test_a_node_listens_to_the_other_nodes_alone_and_calls_nobody_beside_them_but_the_provider(played: Round) -> None:
    provider = (played.sites.provider.address(SITES), 8443)
    for name in AT_NODES:
        ends = {socket for each in played.seen[name] for socket in each.connected}
        others = {(host, port) for host, port in ends if host.startswith(f"{PARTIES.prefix}.")}
        assert ends - others == {provider}, name
        assert others, name


def test_the_auditor_audits_it_at_its_own_site(played: Round) -> None:
    said = played.sites.machines[AT_AUDITOR].wardround("audit", "--all")
    assert "1 of 1 rounds hold" in said


def test_a_site_that_goes_down_leaves_nothing_running(played: Round) -> None:
    birch = played.sites.machines["hospital-birch"]
    birch.wardround("down")
    assert not birch.look().processes
