"""A hospital of the study, with its keys: which of them it acts under."""

from __future__ import annotations

import pytest

from pipeline.chain.ledger import HospitalStatus
from pipeline.domain import RoundId
from pipeline.errors import ContractRefused
from pipeline.evidence.membership import study_digest
from pipeline.ledger_types.events import StudyId
from pipeline.site.identity import SigningKey
from tests.adversary import attack
from tests.support.chains import ROOT, Actors, named

pytestmark = pytest.mark.anvil


def _of_this_round(actors: Actors, round_id: RoundId, key: SigningKey) -> HospitalStatus:
    return actors.ledger.standings(actors.ledger.round(round_id), [key.address])[key.address]


@attack(
    by="hospital",
    to="stop",
    tries="to end a round by moving on to another key in the midst of it",
    costs="its place in the next round",
    seen="the new key, on the ledger",
)
def test_a_key_that_changes_in_mid_round_changes_the_next_one(actors: Actors, study: StudyId) -> None:
    own = actors.hospital()
    round_id = actors.open(study)
    actors.moved_on(own)
    actors.send(actors.provider, actors.ledger.commit_round(round_id, ROOT))
    assert _of_this_round(actors, round_id, own) is HospitalStatus.AUTHORISED
    result = actors.result(round_id)
    actors.send(actors.provider, actors.ledger.finalise_round(result, actors.sign(result, *actors.nodes)))
    assert _of_this_round(actors, actors.open(study), own) is HospitalStatus.RETIRED


@attack(
    by="hospital",
    to="change",
    tries="to escape its revocation to another key",
    costs="nothing",
    seen="nothing: the ledger refuses it",
)
def test_a_revoked_hospital_moves_on_to_no_key(actors: Actors) -> None:
    own = actors.hospital()
    actors.send(actors.provider, actors.ledger.revoke_hospitals([own.address]))
    with pytest.raises(ContractRefused, match=r"HospitalKeyNotRotatable.*REVOKED"):
        actors.moved_on(own)


@attack(
    by="hospital",
    to="change",
    tries="to go on under a key that it left",
    costs="nothing",
    seen="nothing: the ledger refuses it",
)
def test_a_key_that_was_left_does_nothing(actors: Actors, study: StudyId) -> None:
    own, terms = (key := actors.hospital()), named(key, actors.hospital())
    round_id = actors.open(study, study_digest=study_digest(terms))
    actors.moved_on(own)
    with pytest.raises(ContractRefused, match=r"HospitalNotAuthorised.*RETIRED"):
        actors.commit_directly(round_id, terms, own)
    with pytest.raises(ContractRefused, match=r"HospitalKeyNotRotatable.*RETIRED"):
        actors.moved_on(own)
    with pytest.raises(ContractRefused, match="HospitalAlreadyRegistered"):
        actors.send(own, actors.ledger.register_hospital())
