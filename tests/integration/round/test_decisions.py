"""What hospitals and nodes put on the ledger past the service provider, in a round with real services."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from pipeline.chain.outbox import Outbox
from pipeline.cli import commands
from pipeline.domain import Address, RoundStatus
from pipeline.errors import ContractRefused, NotApproved, Refused
from pipeline.evidence import merkle
from pipeline.governance import member_actions
from pipeline.round.worker import node_worker
from pipeline.site.consortium import Consortium
from pipeline.site.identity import Identity
from pipeline.store import object_keys
from pipeline.study.study import Study
from tests.support.consortia import HOSPITALS, NODES, Site
from tests.support.rounds import Play

pytestmark = [pytest.mark.store, pytest.mark.anvil]


def test_a_hospital_that_committed_directly_is_in_every_set(site: Site) -> None:
    longer = {"commit_seconds": 600, "result_seconds": 900}
    play = site.play("directly", hospitals=list(HOSPITALS[:3]), deadlines=longer)
    elm = HOSPITALS[0]
    others = HOSPITALS[1:3]
    round_id = play.open()
    play.hospitals(round_id)
    assert play.absences == {}
    manifest = member_actions.commit_directly("directly", round_id, elm, site.settings)
    assert member_actions.commit_directly("directly", round_id, elm, site.settings) == manifest

    provider = Identity.load(site.settings.provider)
    outbox = Outbox(provider.home / "outbox", provider.key, site.services.rpc, site.ledger.chain_id)
    with pytest.raises(ContractRefused, match="DirectCommitsIgnored"):
        outbox.send(site.ledger.commit_round(round_id, merkle.root([manifest])), f"ignore-{round_id}")
    play.commit(round_id)

    state = site.ledger.round(round_id)
    assert state.status is RoundStatus.COMMITTED
    assert state.committed is not None
    place = object_keys.commit(round_id)
    (listed,) = (site.board().json(place, digest) for digest in site.board().digests(place))
    assert listed[elm] == manifest
    assert set(listed) == {elm, *others}
    proof = merkle.proof(list(listed.values()), manifest)
    assert site.ledger.verify_commit(state.committed.root, manifest, proof)


def test_nobody_is_released_who_is_not_in_quarantine(site: Site) -> None:
    site.play("released")
    with pytest.raises(Refused, match="has not in quarantine"):
        member_actions.sign_release("released", HOSPITALS[0], NODES[0], site.settings)


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
