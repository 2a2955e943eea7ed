"""docker-compose.yml keeps every actor to its own secrets; the schema itself is checked by `make check`."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from pipeline.setup import compose, members
from pipeline.site.settings import PROJECT
from pipeline.study.study_files import load_studies
from tests.adversary import attack

SERVICES: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"]
EVERYBODY = members.members(load_studies(PROJECT / "studies"))
WORKERS = [*(f"hospital-{name}" for name in EVERYBODY.hospitals), *(f"node-{name}" for name in EVERYBODY.nodes)]


def test_every_hospital_and_node_of_the_studies_has_a_service() -> None:
    assert sorted(name for name in SERVICES if re.match(r"(hospital|node)-", name)) == sorted(WORKERS)


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_mounts_its_own_folder_and_no_other_private_one(name: str) -> None:
    side, _, actor = name.partition("-")
    own = f"./deployment/{side}s/{actor}"
    mounts = [volume.split(":") for volume in SERVICES[name]["volumes"]]
    writable = [mount[0] for mount in mounts if mount[2:] != ["ro"]]
    assert writable == [own]
    addresses = "./deployment/installation.yaml" if side == "hospital" else f"./deployment/addresses/{actor}.yaml"
    public = {"./deployment/consortium.yaml", addresses, "./deployment/certificates", "./studies"}
    assert {mount[0] for mount in mounts} - {own} == public


def test_nobody_but_its_guard_shares_a_network_with_the_store_s_server() -> None:
    assert [name for name, service in SERVICES.items() if "store-server" in service.get("networks", ())] == [
        "store",
        "store-server",
    ]
    assert SERVICES["store-server"]["networks"] == ["store-server"]


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_serves_its_own_queue_and_reaches_no_database(name: str) -> None:
    command = SERVICES[name]["command"]
    service = SERVICES[name]
    assert command[command.index("-q") + 1] == name
    assert "database" not in service["networks"]
    assert service["secrets"] == [{"source": f"site-{name}", "target": "site-token"}]
    assert f"/sites/{name}/" in service["environment"]["AIRFLOW__EDGE__API_URL"]
    assert ("parties" in service["networks"]) == name.startswith("node-")


@attack(
    by="stranger",
    to="learn",
    tries="to read secrets in the environment or command of a service",
    costs="nothing",
    seen="nothing",
)
def test_no_service_has_a_secret_in_its_environment_or_command() -> None:
    for name, service in SERVICES.items():
        for key, value in (service.get("environment") or {}).items():
            if re.search(r"PASSWORD|SECRET|KEY|CONN", key):
                assert re.match(r"(cat )?/run/secrets/|echo sqlite", str(value)), (name, key)


def test_only_loopback_is_published() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert published == ["127.0.0.1:8080:8080"]


def test_the_check_names_what_does_not_fit() -> None:
    schema = {
        "type": "object",
        "properties": {"services": {"additionalProperties": {"properties": {"image": {"type": "string"}}}}},
    }
    assert compose.problems({"services": {"a": {"image": 7}}}, schema) == [
        "services.a.image: 7 is not of type 'string'"
    ]
    dangling = {"services": {"a": {"secrets": ["key"], "depends_on": ["b"], "volumes": ["data:/data", "./x:/x"]}}}
    assert compose.problems(dangling, schema) == [
        "services.a.secrets: key is not defined",
        "services.a.depends_on: no service b",
        "services.a.volumes: data is not defined",
    ]
