"""The compose files and the Dockerfile hold what a run on an engine found; `make check` checks the schema.

`make test-compose` is that run.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.setup import compose
from pipeline.site.settings import PROJECT, VARIABLES
from pipeline.study.study_files import load_studies
from tests.adversary import attack

FILES = [PROJECT / "docker-compose.yml", *(PROJECT / "docker" / f"{role}.yml" for role in compose.ROLES)]
ALL_OF_THEM = FILES[0]
DOCKERFILE = re.sub(r"^#.*\n", "", (PROJECT / "docker" / "Dockerfile").read_text(), flags=re.MULTILINE)
STAGES = dict(re.findall(r"^FROM \S+ AS (\S+)\n(.*?)(?=^FROM|\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL))

SERVICES = {f"{file.stem}/{name}": service for file in FILES for name, service in compose.services(file).items()}
WHOLE = compose.services(ALL_OF_THEM)
NETWORKS: dict[str, Any] = yaml.safe_load(ALL_OF_THEM.read_text())["networks"]
MEMBERS = [name for name in WHOLE if re.match(r"(hospital|node|auditor)-", name)]
HOME = "/home/wardround/site"

_NOT_IN_IMAGES = {".wardround", "build", "benchmarks"}
"""An installation's usual place; what tests write; figures, without which the console's page of baselines says so."""


def networks(service: dict[str, Any]) -> set[str]:
    return set(service.get("networks") or ())


def written(service: dict[str, Any]) -> list[str]:
    return [volume for volume in service.get("volumes", ()) if not volume.endswith(":ro")]


def copied(stage: str) -> set[str]:
    """The first parts of what a stage copies from the checkout."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", STAGES[stage], re.MULTILINE)
    return {source.split("/")[0] for line in lines for source in line.split()[:-1]}


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_has_a_root_that_is_read_only_no_capability_and_a_bound_for_what_it_writes(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert {"privileged", "cap_add", "user", "pid", "ipc", "devices"}.isdisjoint(service)
    assert all(re.search(r"size=\d+m", item) for item in service.get("tmpfs", ()))
    # A volume that holds the site, and nothing of this machine's that it could write.
    assert all(re.fullmatch(rf"[a-z-]+:{HOME}", volume) for volume in written(service))


def test_a_site_s_services_are_those_that_one_command_starts_on_any_machine() -> None:
    sites = {name: service for name, service in SERVICES.items() if service["restart"] != "no" and "tmpfs" in service}
    assert len(sites) == len(MEMBERS) + 3
    for name, service in sites.items():
        assert service["command"] == ["up", "--foreground"], name
        assert service["healthcheck"]["test"] == ["CMD", "wardround", "status"], name


@attack(
    by="stranger",
    to="learn",
    tries="to read secrets in the environment or command of a service",
    costs="nothing",
    seen="nothing",
)
def test_no_container_is_told_a_secret_or_a_setting_of_airflow_s() -> None:
    for name, service in SERVICES.items():
        assert set(service.get("environment") or ()) <= {VARIABLES["studies"]}, name
        assert "secrets" not in service


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_is_built_here_and_never_asked_for_at_a_registry(name: str) -> None:
    assert SERVICES[name]["pull_policy"] == "never"
    assert "build" in SERVICES[name]


def test_every_member_of_its_studies_has_a_site_with_a_folder_of_its_own() -> None:
    studies = load_studies(PROJECT / "docker" / "studies").values()
    wanted = {f"hospital-{name}" for study in studies for name in study.hospitals}
    wanted |= {f"node-{name}" for study in studies for name in study.nodes}
    assert wanted == {name for name in MEMBERS if not name.startswith("auditor-")}
    for name in MEMBERS:
        assert written(WHOLE[name]) == [f"{name}:{HOME}"]
        assert WHOLE[name]["image"] == f"wardround-{name.partition('-')[0]}"


def test_a_hospital_reaches_no_node_and_nobody_outwards_but_the_provider() -> None:
    assert [name for name, network in NETWORKS.items() if not (network or {}).get("internal")] == ["people"]
    for name in MEMBERS:
        wanted = {"nodes", "parties"} if name.startswith("node-") else {"members"}
        assert networks(WHOLE[name]) == wanted, name
    assert networks(WHOLE["provider-network"]) == {"people", "members", "nodes"}


def test_a_node_is_called_where_only_nodes_are() -> None:
    script = (PROJECT / "docker" / "consortium.sh").read_text()
    assert '--node "$name" --host "party-$name:7000"' in script
    for name in MEMBERS:
        if name.startswith("node-"):
            aliases = {network: (given or {}).get("aliases") for network, given in WHOLE[name]["networks"].items()}
            assert aliases == {"nodes": None, "parties": [name.replace("node-", "party-")]}


def test_a_whole_consortium_is_published_to_this_machine_alone() -> None:
    published = [port for service in WHOLE.values() for port in service.get("ports", ())]
    assert published == ["127.0.0.1:8443:8443"]


def test_nothing_is_published_by_a_hospital_or_an_auditor() -> None:
    for file in ("hospital", "auditor"):
        assert not [service for name, service in SERVICES.items() if name.startswith(f"{file}/") and "ports" in service]


@pytest.mark.parametrize("role", compose.ROLES)
def test_an_image_runs_as_a_user_with_a_name_and_begins_with_the_base(role: str) -> None:
    assert re.search(rf"^FROM base AS {role}$", DOCKERFILE, re.MULTILINE)
    assert STAGES[role].rstrip().endswith("USER wardround")
    assert "useradd --uid 1000" in STAGES["base"]
    assert f"install -d -o wardround -g wardround -m 700 {HOME}" in STAGES["base"]


def test_the_base_is_pinned_and_named_once() -> None:
    (pinned,) = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", pinned)
    others = set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE))
    assert others == {"${PYTHON_IMAGE}", "scratch", "base"}


def test_what_environments_are_made_from_is_copied(tmp_path: Path) -> None:
    for line in re.findall(r"^COPY (.+)$", STAGES["locks"], re.MULTILINE):
        *sources, to = line.split()
        for source in sources:
            target = tmp_path / to.strip("/")
            if (PROJECT / source).is_dir():
                shutil.copytree(PROJECT / source, target, dirs_exist_ok=True)
            else:
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy(PROJECT / source, target)
    # It loads all that it would need, and asks for a set that there is.
    command = [sys.executable, "-S", "-m", "pipeline.tools", "nothing"]
    done = subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, text=True, check=False)
    assert "got nothing, want one of runtime, " in done.stdout, done.stderr


def test_what_environments_are_made_from_stays_in_the_cache_of_the_build() -> None:
    # A shell sets such variables for the one command that follows them.
    makes = re.findall(
        r"^RUN --mount=type=cache,target=/cache (.*?python -m pipeline\.tools) ", DOCKERFILE, re.MULTILINE | re.DOTALL
    )
    assert len(makes) == DOCKERFILE.count("python -m pipeline.tools") == len(compose.ROLES)
    for command in makes:
        variables = command.replace("\\\n", " ").removesuffix("python -m pipeline.tools").split()
        assert {"HOME=/root", "UV_CACHE_DIR=/cache/uv", "WARDROUND_CACHE=/cache/wardround"} <= set(variables)
        assert all("=" in variable for variable in variables)


def test_all_that_the_code_reads_of_its_checkout_is_copied() -> None:
    sources = [file for folder in ("pipeline", "plugins", "dags") for file in (PROJECT / folder).rglob("*.py")]
    read = {name for file in sources for name in re.findall(r'PROJECT / "([^"]+)"', file.read_text())}
    made = {name for name in read if name.startswith((".venv", "node_modules"))}
    assert read - made - _NOT_IN_IMAGES <= copied("locks") | copied("code")


def test_the_context_has_all_that_is_copied() -> None:
    admitted = (PROJECT / "docker" / "Dockerfile.dockerignore").read_text().split("\n")
    assert {f"!{name}" for name in copied("locks") | copied("code")} <= set(admitted)


def test_programs_that_the_base_lacks_are_installed() -> None:
    assert re.search(r"apt-get install .*\bgit\b", STAGES["provider"])
    library = next((PROJECT / ".venv-spu").glob("lib/python*/site-packages/spu/libspu.so"))
    said = subprocess.run(["ldd", library], capture_output=True, text=True, check=True).stdout
    needs = {name for name in re.findall(r"^\s(lib\S+?)\.so", said, re.MULTILINE) if not name.startswith("libc.")}
    # The base has what C and C++ need.
    assert needs - {"libc", "libdl", "libm", "libpthread", "librt", "libgcc_s", "libstdc++", "libz"} == {"libgomp"}
    assert re.search(r"apt-get install .*\blibgomp1\b", STAGES["node"])


def test_the_check_names_what_does_not_fit() -> None:
    schema = {
        "type": "object",
        "properties": {"services": {"additionalProperties": {"properties": {"image": {"type": "string"}}}}},
    }
    assert compose.problems({"services": {"a": {"image": 7}}}, schema) == [
        "services.a.image: 7 is not of type 'string'"
    ]
    dangling = {
        "services": {
            "a": {"secrets": ["key"], "depends_on": ["b"], "volumes": ["data:/data", "./x:/x"]},
            "c": {"network_mode": "service:d"},
        }
    }
    assert compose.problems(dangling, schema) == [
        "services.a.secrets: key is not defined",
        "services.a.depends_on: no service b",
        "services.a.volumes: data is not defined",
        "services.c.network_mode: no service d",
    ]
