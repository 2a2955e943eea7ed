"""A hospital that the provider authorised, but that is none of the study."""

from __future__ import annotations

import pytest

from pipeline.domain import Kind, RoundId, RoundStatus
from pipeline.errors import ContractRefused, Refused
from pipeline.evidence import merkle
from pipeline.evidence.canonical import sha256
from pipeline.evidence.membership import Membership, membership, study_digest
from pipeline.ledger_types.events import StudyId
from pipeline.store import object_keys
from tests.adversary import attack
from tests.support.chains import MANIFEST, ROOT, Actors, named
from tests.support.consortia import HOSPITALS, NODES, Site
from tests.support.heaps import heap, listings
from tests.support.intake import take_in_at_all
from tests.support.rounds import Play

pytestmark = pytest.mark.anvil

FERN = HOSPITALS[5]
THREE = list(HOSPITALS[:3])
NAMED = "nothing: the ledger refuses it, and a transaction that is mined all the same has its account"


@attack(
    by="foreign_hospital",
    to="stop",
    tries="to hold a commit up by committing directly, under one new key after the other",
    costs="a key each",
    seen=NAMED,
)
def test_no_key_of_a_hospital_outside_the_study_commits_to_it(actors: Actors, study: StudyId) -> None:
    terms = named(actors.hospital(), actors.hospital())
    round_id = actors.open(study, study_digest=study_digest(terms))
    key = actors.hospital()
    for _ in range(5):
        with pytest.raises(ContractRefused, match="NotAMember"):
            actors.commit_directly(round_id, terms, key, account=terms["hospitals"]["hospital-0"])
        key = actors.moved_on(key)
    assert actors.ledger.round(round_id).direct == ()
    actors.send(actors.provider, actors.ledger.commit_round(round_id, ROOT))
    assert actors.ledger.status(round_id) is RoundStatus.COMMITTED


@attack(
    by="foreign_hospital",
    to="change",
    tries="to commit directly with its membership of another study",
    costs="nothing",
    seen=NAMED,
)
def test_membership_of_another_study_is_none_here(actors: Actors, study: StudyId) -> None:
    own = actors.hospital()
    member = actors.hospital()
    other = actors.hospital()
    here = named(member, other)
    elsewhere = named(own, other)
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


@attack(by="foreign_hospital", to="change", tries="to be in a set by a root of its own", costs="nothing", seen=NAMED)
def test_a_hospital_fixes_no_set(actors: Actors, study: StudyId) -> None:
    own = actors.hospital()
    round_id = actors.open(study)
    with pytest.raises(ContractRefused, match="NotCommitter"):
        actors.send(own, actors.ledger.commit_round(round_id, merkle.root([sha256(b"its own")])))


@attack(
    by="foreign_hospital", to="stop", tries="to take the key of a hospital of the study", costs="nothing", seen=NAMED
)
def test_nobody_moves_on_to_anothers_key(actors: Actors) -> None:
    own = actors.hospital()
    member = actors.hospital()
    with pytest.raises(ContractRefused, match="HospitalAlreadyRegistered"):
        actors.moved_on(own, member)


@pytest.fixture(scope="module")
def theirs(site: Site) -> tuple[Play, RoundId]:
    """A round of three hospitals, before its commit; fern is a member of the consortium and none of the study."""
    play = site.play("theirs", hospitals=THREE)
    round_id = play.open()
    play.hospitals(round_id)
    return play, round_id


@pytest.mark.minio
@attack(
    by="foreign_hospital",
    to="learn",
    tries="to read or list what a study's hospitals send to its nodes",
    costs="nothing",
    seen="nothing: the store refuses it",
)
def test_nobody_reads_the_mail_of_another_study(site: Site, theirs: tuple[Play, RoundId]) -> None:
    _, round_id = theirs
    place = object_keys.envelope(round_id, HOSPITALS[0], NODES[0])
    (digest,) = site.board().digests(place)
    board = site.board(site.settings.hospital(FERN))
    for ask in (lambda: board.fetch(place, digest), lambda: board.digests(place)):
        with pytest.raises(Refused, match="does not let hospital-fern"):
            ask()


@pytest.mark.minio
@attack(
    by="foreign_hospital",
    to="delay",
    tries="to slow a round of another study down by files in a folder of its own there, or to be counted in it",
    costs="objects that stay in its name for a year",
    seen="the files, in its own folder",
)
def test_what_lies_in_a_folder_of_no_hospital_of_the_study_is_not_looked_at(
    site: Site, theirs: tuple[Play, RoundId], monkeypatch: pytest.MonkeyPatch
) -> None:
    play, round_id = theirs
    own = site.settings.hospital(FERN)
    for kind in (Kind.MANIFEST, Kind.VALIDATION):
        heap(site, own, *object_keys.statement(round_id, kind, FERN)[:2], 40)
    heap(site, own, *object_keys.envelope(round_id, FERN, NODES[0])[:2], 40)
    asked = listings(monkeypatch)
    play.commit(round_id)
    for inputs in take_in_at_all(site, play, round_id).values():
        assert (list(inputs.digests), inputs.absent) == (THREE, {})
    assert asked
    assert [prefix for prefix in asked if f"/{FERN}/" in prefix] == []
