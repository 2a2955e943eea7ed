"""A hospital that the provider authorised, but that is none of the study."""

from __future__ import annotations

import pytest

from pipeline.chain.events import StudyId
from pipeline.domain import RoundStatus
from pipeline.errors import ContractRefused
from pipeline.evidence import merkle
from pipeline.evidence.canonical import sha256
from pipeline.evidence.membership import Membership, membership, study_digest
from tests.adversary import attack
from tests.support.chains import MANIFEST, ROOT, Actors, named

pytestmark = pytest.mark.anvil

NAMED = "nothing: the ledger refuses it, and a transaction that is mined all the same has its account"


@attack(
    by="foreign_hospital",
    tries="to hold a commit up by committing directly, under one new key after the other",
    costs="a key each",
    seen=NAMED,
)
def test_no_key_of_a_hospital_outside_the_study_commits_to_it(actors: Actors, study: StudyId) -> None:
    terms = named(actors.hospital(), actors.hospital())
    round_id, key = actors.open(study, study_digest=study_digest(terms)), actors.hospital()
    for _ in range(5):
        with pytest.raises(ContractRefused, match="NotAMember"):
            actors.commit_directly(round_id, terms, key, account=terms["hospitals"]["hospital-0"])
        key = actors.moved_on(key)
    assert actors.ledger.round(round_id).direct == ()
    actors.send(actors.provider, actors.ledger.commit_round(round_id, ROOT))
    assert actors.ledger.status(round_id) is RoundStatus.COMMITTED


@attack(by="foreign_hospital", tries="to commit directly with its membership of another study", costs="nothing", seen=NAMED)
def test_membership_of_another_study_is_none_here(actors: Actors, study: StudyId) -> None:
    own, member, other = actors.hospital(), actors.hospital(), actors.hospital()
    here, elsewhere = named(member, other), named(own, other)
    state = actors.ledger.round(actors.open(study, study_digest=study_digest(here)))
    theirs = membership(here, member.address)
    for shown in (
        membership(elsewhere, own.address),
        Membership(own.address, theirs.rest, theirs.proof),
        Membership(own.address, theirs.rest, ()),
        Membership(own.address, theirs.rest, tuple("00" * 32 for _ in range(40))),
    ):
        with pytest.raises(ContractRefused, match="NotAMember"):
            actors.send(own, actors.ledger.commit_directly(state, MANIFEST, shown))


@attack(by="foreign_hospital", tries="to be in a set by a root of its own", costs="nothing", seen=NAMED)
def test_a_hospital_fixes_no_set(actors: Actors, study: StudyId) -> None:
    own, round_id = actors.hospital(), actors.open(study)
    with pytest.raises(ContractRefused, match="NotCommitter"):
        actors.send(own, actors.ledger.commit_round(round_id, merkle.root([sha256(b"its own")])))


@attack(by="foreign_hospital", tries="to take the key of a hospital of the study", costs="nothing", seen=NAMED)
def test_nobody_moves_on_to_anothers_key(actors: Actors) -> None:
    own, member = actors.hospital(), actors.hospital()
    with pytest.raises(ContractRefused, match="HospitalAlreadyRegistered"):
        actors.moved_on(own, member)
