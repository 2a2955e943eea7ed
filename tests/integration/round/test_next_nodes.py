"""A round by the nodes that took over a study, with every service."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from pipeline.cli import commands
from pipeline.domain import Address
from pipeline.errors import NotApproved
from pipeline.round.worker import node_worker
from pipeline.site.consortium import Consortium
from pipeline.study.study import Study
from tests.support.consortia import NODES, Site
from tests.support.rounds import Play

pytestmark = [pytest.mark.store, pytest.mark.anvil, pytest.mark.spu]


def test_the_next_nodes_run_a_round_once_all_owners_have_approved_again(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    north, east, west, south = NODES
    site.play("moved", nodes=[north, east, south])
    file = site.settings.studies / "moved.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"nodes": [north, east, west]}))
    read = Study.load(file)
    monkeypatch.setenv("WARDROUND_HOME", str(site.settings.home))
    monkeypatch.setenv("WARDROUND_STUDIES", str(site.settings.studies))
    files = [str(tmp_path / f"{name}.json") for name in (east, south)]
    for name, file in zip((east, south), files, strict=True):
        signed = CliRunner().invoke(commands, ["nodes", "sign", "moved", "--as", name, "-o", file])
        assert signed.exit_code == 0, signed.exception
    sent = CliRunner().invoke(commands, ["nodes", "send", *files, "--as", east])
    assert sent.exit_code == 0, sent.exception
    for name in (north, west):
        with pytest.raises(NotApproved):
            node_worker("moved", name, site.settings)
    site.approve(read)
    round_id = Play("moved", site.settings).round()
    nodes = tuple(Address(Consortium.load(site.settings.consortium).node(name).address) for name in read.nodes)
    assert site.ledger.nodes(site.ledger.round(round_id)).nodes == nodes
    site.audits(round_id)
