"""A hospital of the study, with its keys: what it commits to the ledger past the provider."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.domain import LEAST_FOR_RESULT, RoundId, RoundStatus, Sha256, direct_grace
from pipeline.errors import ContractRefused
from pipeline.evidence import merkle
from pipeline.evidence.canonical import sha256
from pipeline.evidence.membership import study_digest
from pipeline.ledger_types.events import StudyId
from tests.adversary import attack
from tests.support.chains import MANIFEST, Actors, named

pytestmark = pytest.mark.anvil

ON_THE_LEDGER = "its account and manifest, on the ledger"


def _commit(actors: Actors, round_id: RoundId, *manifests: Sha256) -> None:
    """The provider takes everything in that was committed directly."""
    direct = {event.hospital: merkle.proof(manifests, event.manifest) for event in actors.ledger.round(round_id).direct}
    actors.send(
        actors.provider, actors.ledger.commit_round_with(actors.ledger.round(round_id), merkle.root(manifests), direct)
    )
    assert actors.ledger.status(round_id) is RoundStatus.COMMITTED


@attack(
    by="hospital",
    to="stop",
    tries="to keep a commit from fitting its deadline, by keys that it moves on to",
    costs="its keys",
    seen=ON_THE_LEDGER,
)
def test_a_hospital_commits_once_under_all_of_its_keys(actors: Actors, study: StudyId) -> None:
    first = actors.hospital()
    other = actors.hospital()
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
    to="stop",
    tries="to end the round by a direct commit in the last second",
    costs="nothing: it takes part",
    seen=ON_THE_LEDGER,
)
def test_a_late_direct_commit_leaves_time_to_take_it_in(actors: Actors, study: StudyId) -> None:
    own, terms = (key := actors.hospital()), named(key, actors.hospital())
    round_id = actors.open(study, commit_in=3, result_in=3 + LEAST_FOR_RESULT, study_digest=study_digest(terms))
    actors.commit_directly(round_id, terms, own)
    actors.wait_until(actors.ledger.round(round_id).opened.commit_deadline)
    with pytest.raises(ContractRefused, match="DeadlineNotPassed"):
        actors.send(own, actors.ledger.abort_round(round_id))
    _commit(actors, round_id, MANIFEST)
    result = replace(actors.result(round_id), commit_root=merkle.root([MANIFEST]))
    actors.send(actors.provider, actors.ledger.finalise_round(result, actors.sign(result, *actors.nodes[:2])))


@pytest.mark.parametrize("between", [LEAST_FOR_RESULT, LEAST_FOR_RESULT + 1, 119, 120, 121, 900])
@attack(
    by="hospital",
    to="stop",
    tries="to leave the nodes no time by a direct commit in the last second",
    costs="nothing: it takes part",
    seen=ON_THE_LEDGER,
)
def test_a_direct_commit_leaves_the_nodes_half_of_their_time(actors: Actors, study: StudyId, between: int) -> None:
    own, terms = (key := actors.hospital()), named(key, actors.hospital())
    round_id = actors.open(study, commit_in=60, result_in=60 + between, study_digest=study_digest(terms))
    actors.commit_directly(round_id, terms, own)
    with pytest.raises(ContractRefused) as caught:
        actors.send(own, actors.ledger.abort_round(round_id))
    state = actors.ledger.round(round_id)
    assert int(caught.value.arguments["deadline"]) == state.deadline, "the contract and we count alike"
    assert state.deadline == state.opened.commit_deadline + direct_grace(between)
    assert 2 * (state.opened.result_deadline - state.deadline) >= between


@attack(
    by="hospital",
    to="change",
    tries="to commit directly after the deadline",
    costs="nothing",
    seen="nothing: the ledger refuses it",
)
def test_a_direct_commit_after_the_deadline_is_none(actors: Actors, study: StudyId) -> None:
    own, terms = (key := actors.hospital()), named(key, actors.hospital())
    round_id = actors.open(study, commit_in=3, study_digest=study_digest(terms))
    actors.wait_until(actors.ledger.round(round_id).opened.commit_deadline)
    with pytest.raises(ContractRefused, match="DeadlinePassed"):
        actors.commit_directly(round_id, terms, own)
    actors.send(own, actors.ledger.abort_round(round_id))


@attack(
    by="hospital",
    to="stop",
    tries="to spoil the set with another hospital's manifest",
    costs="its own place in the round",
    seen=ON_THE_LEDGER,
)
def test_a_copied_manifest_stands_in_the_set_once(actors: Actors, study: StudyId) -> None:
    own = actors.hospital()
    other = actors.hospital()
    terms = named(own, other)
    round_id = actors.open(study, study_digest=study_digest(terms))
    actors.commit_directly(round_id, terms, other)
    actors.commit_directly(round_id, terms, own, MANIFEST)
    _commit(actors, round_id, MANIFEST, sha256(b"a third one's"))
