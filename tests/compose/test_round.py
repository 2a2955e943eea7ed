"""docker-compose.yml on a real engine: built, every site made, invited and joined, a round, an audit, and a kill -9.

PYTHON_IMAGE names another base than the Dockerfile's, where that one cannot be had.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from pipeline.setup.compose import ROLES
from pipeline.site.settings import PROJECT
from tests.compose import engine

pytestmark = [
    pytest.mark.compose,
    pytest.mark.versitygw,
    pytest.mark.anvil,
    pytest.mark.airflow,
    pytest.mark.spu,
    pytest.mark.timeout(5400),
]

HOSPITALS = ("hospital-aster", "hospital-birch", "hospital-cedar")
NODES = ("node-north", "node-east", "node-west")
WORKING = ("provider", *HOSPITALS, *NODES)

_REACHES = """
import socket, sys
for target in {targets}:
    try:
        socket.create_connection(target, timeout=3).close()
    except OSError:
        continue
    print(*target)
"""
_END_LISTENER = """
import psutil
for process in psutil.process_iter():
    if "http.server" in process.cmdline():
        process.kill()
"""
_AIRFLOW = ("env", "AIRFLOW_HOME=/home/wardround/site/airflow", "python", "-m", "airflow")


@dataclass
class Consortium:
    """All sites, with what was measured."""

    seconds: dict[str, float] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    said: str = ""
    """What the round's command said."""


@pytest.fixture(scope="module")
def consortium() -> Iterator[Consortium]:
    made = Consortium()
    base = os.environ.get("PYTHON_IMAGE")
    began = time.monotonic()
    engine.compose("--profile", "commands", "down", "--volumes", "--remove-orphans")
    engine.compose(
        "--profile", "commands", "build", *(["--build-arg", f"PYTHON_IMAGE={base}"] if base else []), seconds=3600
    )
    made.seconds["images"] = time.monotonic() - began
    try:
        began = time.monotonic()
        engine.run("docker/consortium.sh", seconds=2400)
        made.seconds["from nothing to all sites up, studies approved"] = time.monotonic() - began
        yield made
    finally:
        logs = PROJECT / "build" / "compose" / "containers.log"
        logs.parent.mkdir(parents=True, exist_ok=True)
        logs.write_text(engine.compose("logs", "--no-color", ends_with=None))
        engine.compose("--profile", "commands", "down", "--volumes", "--timeout", "30", ends_with=None)


@pytest.fixture(scope="module")
def played(consortium: Consortium) -> Consortium:
    """A round, as the provider asks for it."""
    began = time.monotonic()
    with engine.memory_watched() as memory:
        consortium.said = engine.command("wardround", "run", "small", seconds=1800, ends_with=None)
    consortium.seconds["a round"] = time.monotonic() - began
    consortium.memory = memory
    return consortium


def test_each_container_runs_since_its_first_start(consortium: Consortium) -> None:
    containers = engine.containers()
    assert set(containers) == {*WORKING, "provider-network"}
    for name, container in containers.items():
        assert (container["State"]["Status"], container["RestartCount"]) == ("running", 0), name
        # Under a name, and as nobody special.
        if name != "provider-network":
            assert engine.compose("exec", "-T", name, "whoami").strip() == "wardround"


def test_an_image_keeps_nothing_of_what_it_was_made_from(consortium: Consortium) -> None:
    for name in WORKING:
        assert engine.compose("exec", "-T", name, "ls", "-A", "/home/wardround").split() == ["site"]


def test_a_round_of_all_sites_ends_with_a_model(played: Consortium) -> None:
    said = engine.command("wardround", "show", "1")
    assert "Round 1 of small: finalised" in said, f"{played.said}\n{said}"
    assert said.count("accepted") == len(HOSPITALS)


def test_airflow_s_run_is_green(played: Consortium) -> None:
    (run,) = _ask_airflow("dags", "list-runs", "round_small")
    assert run["state"] == "success", played.said
    tasks = _ask_airflow("tasks", "states-for-dag-run", "round_small", run["run_id"])
    assert len(tasks) > len(WORKING)
    assert {task["state"] for task in tasks} <= {"success", "skipped"}


def _ask_airflow(*command: str) -> Any:
    said = engine.compose("exec", "-T", "provider", *_AIRFLOW, *command, "--output", "json")
    # Among warnings of Airflow's.
    return json.JSONDecoder().raw_decode(said, said.index('[{"'))[0]


def test_the_auditor_audits_at_its_own_site(played: Consortium) -> None:
    assert "1 of 1 rounds hold" in engine.command("auditor-owl", "audit", "--all")


def test_a_hospital_reaches_the_provider_alone(consortium: Consortium) -> None:
    networks = {name: one["NetworkSettings"]["Networks"] for name, one in engine.containers().items()}
    addresses = [network["IPAddress"] for name in NODES for network in networks[name].values()]
    assert len(addresses) == 2 * len(NODES)
    gateways = {network["Gateway"] for network in networks["provider-network"].values()} - {""}
    targets = [
        ("provider", 8443),
        *((f"party-{name.removeprefix('node-')}", 7000) for name in NODES),
        *((address, 7000) for address in addresses),
        # The engine's machine, by all addresses of the provider's networks, and somebody far away.
        *((gateway, port) for gateway in sorted(gateways) for port in (22, 8443)),
        ("192.0.2.1", 443),
    ]
    # An engine listens for seconds only: something else does so here, and another node reaches it.
    for name in NODES:
        engine.compose("exec", "--detach", name, "python", "-m", "http.server", "7000", "--directory", "/tmp")  # noqa: S108
    deadline = time.monotonic() + 30
    while "party-north 7000" not in engine.python("node-east", _REACHES.format(targets=targets)):
        assert time.monotonic() < deadline
    try:
        assert engine.python("hospital-aster", _REACHES.format(targets=targets)).split() == ["provider", "8443"]
    finally:
        for name in NODES:
            engine.python(name, _END_LISTENER)


def test_a_provider_that_was_killed_goes_on(played: Consortium) -> None:
    engine.compose("kill", "--signal", "KILL", "provider")
    engine.compose("up", "--detach", "provider")
    began = time.monotonic()
    while "healthy" not in (said := engine.compose("exec", "-T", "provider", "wardround", "status", ends_with=None)):
        assert time.monotonic() - began < 600, said
        time.sleep(5)
    played.seconds["after kill -9 of the provider until its services answer"] = time.monotonic() - began
    assert "Round 1 of small: finalised" in engine.command("wardround", "show", "1")


def test_sizes_times_and_memory_are_written_down(played: Consortium) -> None:
    sizes = [("image", "MB"), *((role, f"{engine.image_bytes(f'wardround-{role}') / 1e6:,.0f}") for role in ROLES)]
    times = [("what", "seconds"), *((what, f"{seconds:.0f}") for what, seconds in played.seconds.items())]
    memory = [("container", "MiB, most"), *((name, f"{used >> 20:,}") for name, used in sorted(played.memory.items()))]
    text = "\n".join(engine.table(rows) for rows in (sizes, times, memory))
    (PROJECT / "build" / "compose").mkdir(parents=True, exist_ok=True)
    (PROJECT / "build" / "compose" / "figures.md").write_text(text)
    print(text)
    assert set(WORKING) <= set(played.memory)
