"""What hospitals and nodes put on the ledger past the service provider, in a round with real services."""

from __future__ import annotations

import pytest

from pipeline.domain import RoundStatus
from pipeline.errors import ContractRefused, Refused
from pipeline.evidence import merkle
from pipeline.governance import member_actions
from pipeline.store import object_keys
from tests.support.installed import HOSPITALS, NODES, Installed


def test_a_hospital_that_committed_directly_is_in_every_set(site: Installed) -> None:
    longer = {"commit_seconds": 600, "result_seconds": 900}
    play = site.play("directly", hospitals=list(HOSPITALS[:3]), deadlines=longer)
    elm = HOSPITALS[0]
    others = HOSPITALS[1:3]
    round_id = play.open()
    play.hospitals(round_id)
    assert play.absences == {}
    manifest = member_actions.commit_directly("directly", round_id, elm, site.settings)
    assert member_actions.commit_directly("directly", round_id, elm, site.settings) == manifest

    with pytest.raises(ContractRefused, match="DirectCommitsIgnored"):
        site.outbox().send(site.ledger.commit_round(round_id, merkle.root([manifest])), f"ignore-{round_id}")
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


def test_nobody_is_released_who_is_not_in_quarantine(site: Installed) -> None:
    site.play("released")
    with pytest.raises(Refused, match="has not in quarantine"):
        member_actions.sign_release("released", HOSPITALS[0], NODES[0], site.settings)
