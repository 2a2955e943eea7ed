"""Each kind of site by its own file of docker/, as docs/how-to/run-in-containers.md has it: made, invited, joined, up.

Every site has a network of its own, and knows the others by name, as machines do. Images are the whole consortium's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from pipeline.setup import compose
from pipeline.site.settings import PROJECT
from tests.compose import engine

pytestmark = [
    pytest.mark.compose,
    pytest.mark.versitygw,
    pytest.mark.anvil,
    pytest.mark.airflow,
    pytest.mark.timeout(3600),
]

EXCHANGE = PROJECT / "docker" / "exchange"
NAMES = {"provider": "provider.test", "node": "north.test"}
MEMBERS = {"hospital": "hospital-wren", "node": "node-north", "auditor": "auditor-owl"}
WORKING = ("hospital", "node")


class Machine:
    """A site by its own file, in a project of its own."""

    def __init__(self, role: str, hosts: Path) -> None:
        self.role = role
        self._files = ("--file", f"docker/{role}.yml", "--file", str(hosts))
        self._name = {"WARDROUND_HOST": NAMES[role]} if role in NAMES else {}

    def compose(self, *arguments: str, ends_with: int | None = 0) -> str:
        project = ("--project-name", f"{engine.PROJECT_NAME}-{self.role}")
        command = ("docker", "compose", *project, *self._files, *arguments)
        return engine.run(*command, seconds=900, ends_with=ends_with, variables=self._name)

    def wardround(self, *arguments: str) -> str:
        return self.compose("run", "--rm", "-T", "wardround", *arguments)

    def carry(self, path: str, name: str) -> None:
        """A file of the site's folder, to the others."""
        said = self.compose("run", "--rm", "-T", "--entrypoint", "cat", "wardround", f"/home/wardround/site/{path}")
        # Among what Compose says of containers.
        text = said[said.index("{") :]
        (EXCHANGE / name).write_text(text[: json.JSONDecoder().raw_decode(text)[1]])

    def until_ready(self) -> None:
        """Wait for its services to answer."""
        deadline = time.monotonic() + 900
        while "healthy" not in (said := self.compose("exec", "-T", "site", "wardround", "status", ends_with=None)):
            assert time.monotonic() < deadline, said
            time.sleep(5)


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Machine]]:
    folder = tmp_path_factory.mktemp("hosts")
    made = {}
    for role in compose.ROLES:
        known = [f"{name}:host-gateway" for other, name in NAMES.items() if other != role]
        services = compose.services(PROJECT / "docker" / f"{role}.yml").items()
        own = {name: {"extra_hosts": known} for name, service in services if "network_mode" not in service}
        hosts = folder / f"{role}.json"
        hosts.write_text(json.dumps({"services": own}))
        made[role] = Machine(role, hosts)
    for machine in made.values():
        machine.compose("--profile", "commands", "down", "--volumes", "--remove-orphans")
    try:
        yield made
    finally:
        for machine in made.values():
            machine.compose("--profile", "commands", "down", "--volumes", "--timeout", "30", ends_with=None)


@pytest.fixture(scope="module")
def joined(machines: Mapping[str, Machine]) -> Mapping[str, Machine]:
    """All of them made and invited; whoever works is up."""
    provider = machines["provider"]
    provider.wardround("site", "init", "--provider", "--host", f"{NAMES['provider']}:8443")
    provider.compose("up", "--detach")
    provider.until_ready()
    for role, member in MEMBERS.items():
        host = ["--host", f"{NAMES[role]}:7000"] if role in NAMES else []
        machines[role].wardround("site", "init", f"--{role}", member.partition("-")[2], *host)
        machines[role].carry("card.json", f"{member}.json")
    provider.wardround("site", "invite", *(f"/exchange/{member}.json" for member in MEMBERS.values()))
    for role, member in MEMBERS.items():
        provider.carry(f"invitations/{member}.json", f"invitation-{member}.json")
        machines[role].wardround("site", "join", f"/exchange/invitation-{member}.json", "--yes")
    for role in WORKING:
        machines[role].compose("up", "--detach")
    for role in WORKING:
        machines[role].until_ready()
    return machines


def test_the_provider_hears_of_each_site(joined: Mapping[str, Machine]) -> None:
    said = joined["provider"].compose("exec", "-T", "site", "wardround", "status")
    assert all(MEMBERS[role] in said for role in WORKING), said


def test_an_auditor_reads_from_its_own_machine(joined: Mapping[str, Machine]) -> None:
    assert joined["auditor"].wardround("rounds", "--json").rstrip().endswith("[]")


def test_a_hospital_is_called_by_nobody(joined: Mapping[str, Machine]) -> None:
    (identifier,) = joined["hospital"].compose("ps", "--quiet").split()
    (container,) = json.loads(engine.run("docker", "inspect", identifier))
    assert not any(container["NetworkSettings"]["Ports"].values())
