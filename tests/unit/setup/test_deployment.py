from __future__ import annotations

from pathlib import Path

import yaml

from pipeline.domain import NodeName
from pipeline.setup import deployment
from pipeline.site.consortium import Consortium
from pipeline.site.installation import Installation
from pipeline.site.settings import PROJECT
from tests.support.installations import settings_in


def test_prepare_makes_every_file_that_compose_mounts_and_keeps_it(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "deployment")
    deployment.prepare(settings)
    compose = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
    mounted = [
        volume.split(":")[0] for service in compose["services"].values() for volume in service.get("volumes", ())
    ]
    mounted += [secret["file"] for secret in compose["secrets"].values()]
    missing = {path for path in mounted if path.startswith("./deployment") and not (tmp_path / path).exists()}
    assert missing == set()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    deployment.prepare(settings)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_members_are_reached_under_their_services_names(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    deployment.prepare(settings)
    assert Installation.load(settings.installation) == deployment.addresses(NodeName("north"))
    assert {name: node.host for name, node in Consortium.load(settings.consortium).nodes.items()}[
        "north"
    ] == "node-north:7000"
