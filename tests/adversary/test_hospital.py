"""A hospital of the study, with its keys."""

from __future__ import annotations

import pytest

from pipeline.chain.events import StudyId
from pipeline.chain.ledger import HospitalStatus
from pipeline.domain import RoundId, RoundStatus, Sha256
from pipeline.errors import ContractRefused
from pipeline.evidence import merkle
from pipeline.evidence.canonical import sha256
from pipeline.evidence.membership import study_digest
from pipeline.identity import SigningKey
from tests.adversary import attack
from tests.support.chains import MANIFEST, ROOT, Actors, named

pytestmark = pytest.mark.anvil

ON_THE_LEDGER = "its account and manifest, on the ledger"


def _commit(actors: Actors, round_id: RoundId, *manifests: Sha256) -> None:
    """The provider takes everything in that was committed directly."""
    direct = {event.hospital: merkle.proof(manifests, event.manifest) for event in actors.ledger.round(round_id).direct}
    actors.send(actors.provider, actors.ledger.commit_round(round_id, merkle.root(manifests), direct))
    assert actors.ledger.status(round_id) is RoundStatus.COMMITTED


@attack(
    by="hospital", tries="to keep a commit from fitting its deadline, by keys that it moves on to", costs="its keys", seen=ON_THE_LEDGER
)
def test_a_hospital_commits_once_under_all_of_its_keys(actors: Actors, study: StudyId) -> None:
    first, other = actors.hospital(), actors.hospital()
    terms = named(first, other)
    round_id = actors.open(study, study_digest=study_digest(terms))
    actors.commit_directly(round_id, terms, first)
    key = first
    for _ in range(5):
        key = actors.moved_on(key)
        with pytest.raises(ContractRefused, match="AlreadyCommitted"):
            actors.commit_directly(round_id, terms, key, sha256(b"another"), account=first.address)
    assert [event.hospital for event in actors.ledger.round(round_id).direct] == [first.address]
    _commit(actors, round_id, MANIFEST)


@attack(
    by="hospital",
    tries="to end the round by a direct commit in the last second",
    costs="its share in the round's secrecy: none",
    seen=ON_THE_LEDGER,
)
def test_a_late_direct_commit_leaves_time_to_take_it_in(actors: Actors, study: StudyId) -> None:
    own, terms = (key := actors.hospital()), named(key, actors.hospital())
    round_id = actors.open(study, commit_in=3, study_digest=study_digest(terms))
    actors.commit_directly(round_id, terms, own)
    actors.wait_until(actors.ledger.round(round_id).opened.commit_deadline)
    with pytest.raises(ContractRefused, match="DeadlineNotPassed"):
        actors.send(own, actors.ledger.abort_round(round_id))
    _commit(actors, round_id, MANIFEST)


@attack(by="hospital", tries="to commit directly after the deadline", costs="nothing", seen="nothing: the ledger refuses it")
def test_a_direct_commit_after_the_deadline_is_none(actors: Actors, study: StudyId) -> None:
    own, terms = (key := actors.hospital()), named(key, actors.hospital())
    round_id = actors.open(study, commit_in=1, study_digest=study_digest(terms))
    actors.wait_until(actors.ledger.round(round_id).opened.commit_deadline)
    with pytest.raises(ContractRefused, match="DeadlinePassed"):
        actors.commit_directly(round_id, terms, own)
    actors.send(own, actors.ledger.abort_round(round_id))


@attack(by="hospital", tries="to spoil the set with another hospital's manifest", costs="its own place in the round", seen=ON_THE_LEDGER)
def test_a_copied_manifest_stands_in_the_set_once(actors: Actors, study: StudyId) -> None:
    own, other = actors.hospital(), actors.hospital()
    terms = named(own, other)
    round_id = actors.open(study, study_digest=study_digest(terms))
    actors.commit_directly(round_id, terms, other)
    actors.commit_directly(round_id, terms, own, MANIFEST)
    _commit(actors, round_id, MANIFEST, sha256(b"a third one's"))


def _of_this_round(actors: Actors, round_id: RoundId, key: SigningKey) -> HospitalStatus:
    return actors.ledger.standing(actors.ledger.round(round_id), key.address)


@attack(
    by="hospital",
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


@attack(by="hospital", tries="to escape its revocation to another key", costs="nothing", seen="nothing: the ledger refuses it")
def test_a_revoked_hospital_moves_on_to_no_key(actors: Actors) -> None:
    own = actors.hospital()
    actors.send(actors.provider, actors.ledger.revoke_hospitals([own.address]))
    with pytest.raises(ContractRefused, match=r"HospitalKeyNotRotatable.*REVOKED"):
        actors.moved_on(own)


@attack(by="hospital", tries="to go on under a key that it left", costs="nothing", seen="nothing: the ledger refuses it")
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
