"""The service provider's operator, with the provider's key."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from pipeline.domain import NodeSet, Release, RoundStatus
from pipeline.errors import ContractRefused, InvalidStudy
from pipeline.evidence import merkle
from pipeline.evidence.canonical import sha256
from pipeline.evidence.membership import study_digest
from pipeline.evidence.signing import sign_change
from pipeline.ledger_types.events import StudyId
from pipeline.site.settings import PROJECT
from pipeline.study.study import Study
from tests.adversary import attack
from tests.support.chains import CHAIN_ID, MANIFEST, ROOT, Actors, named

pytestmark = pytest.mark.anvil

REFUSED = "nothing: the ledger refuses it"


@attack(
    by="provider",
    to="stop",
    tries="to lock a hospital out by friends that commit directly before it",
    costs="an account a friend",
    seen="the accounts that it authorised",
)
def test_friends_of_the_provider_take_nobodys_place(actors: Actors, study: StudyId) -> None:
    left_out = actors.hospital()
    other = actors.hospital()
    terms = named(left_out, other)
    round_id = actors.open(study, study_digest=study_digest(terms))
    for _ in range(4):
        with pytest.raises(ContractRefused, match="NotAMember"):
            actors.commit_directly(round_id, terms, actors.hospital(), account=other.address)
    actors.commit_directly(round_id, terms, left_out)
    assert [event.hospital for event in actors.ledger.round(round_id).direct] == [left_out.address]


@attack(
    by="provider",
    to="change",
    tries="to leave a hospital out that committed directly",
    costs="the round, at its deadline",
    seen="the hospital's commit, and a set without it that the ledger refuses",
)
def test_no_set_without_a_direct_commit_is_taken(actors: Actors, study: StudyId) -> None:
    left_out = actors.hospital()
    other = actors.hospital()
    terms = named(left_out, other)
    round_id = actors.open(study, study_digest=study_digest(terms))
    actors.commit_directly(round_id, terms, left_out)
    manifests = [sha256(b"the friend's"), MANIFEST]
    proof = merkle.proof(manifests, MANIFEST)
    state = actors.ledger.round(round_id)
    with pytest.raises(ContractRefused, match="DirectCommitsIgnored"):
        actors.send(actors.provider, actors.ledger.commit_round(round_id, ROOT))
    for root, hospital in ((ROOT, left_out), (merkle.root(manifests), other)):
        with pytest.raises(ContractRefused, match="DirectCommitNotUnderRoot"):
            actors.send(actors.provider, actors.ledger.commit_round_with(state, root, {hospital.address: proof}))
    assert actors.ledger.status(round_id) is RoundStatus.OPEN


@attack(by="provider", to="change", tries="to decide a round alone", costs="nothing", seen=REFUSED)
def test_the_provider_decides_no_round(actors: Actors, study: StudyId) -> None:
    result = actors.result(actors.committed(study))
    for keys in ([], [actors.provider], [actors.provider, actors.nodes[0]]):
        with pytest.raises(ContractRefused, match=r"NoMajority|NotANode"):
            actors.send(actors.provider, actors.ledger.finalise_round(result, actors.sign(result, *keys)))


@attack(
    by="provider",
    to="change",
    tries="to replace the nodes, or release a hospital from quarantine",
    costs="nothing",
    seen=REFUSED,
)
def test_the_provider_changes_no_study(actors: Actors, study: StudyId) -> None:
    ledger = actors.ledger
    mine = (actors.provider.address, *(node.address for node in actors.nodes[1:]))
    friend = actors.hospital().address
    for keys in ([], [actors.provider]):
        nodes = [sign_change(NodeSet(study, 1, mine), CHAIN_ID, actors.contract, key) for key in keys]
        release = [sign_change(Release(study, 1, friend), CHAIN_ID, actors.contract, key) for key in keys]
        for call in (ledger.change_nodes(study, mine, nodes), ledger.release_hospital(study, friend, release)):
            with pytest.raises(ContractRefused, match=r"NoMajority|NotANode"):
                actors.send(actors.provider, call)


@attack(
    by="provider",
    to="change",
    tries="to start a round from a model that the nodes did not make",
    costs="nothing",
    seen=REFUSED,
)
def test_no_round_starts_from_another_model(actors: Actors, study: StudyId) -> None:
    with pytest.raises(ContractRefused, match="StalePreviousModel"):
        actors.open(study, previous_model=sha256(b"the provider's own"))


@attack(
    by="provider",
    to="change",
    tries="to run two rounds of a study at once, and choose between them",
    costs="nothing",
    seen=REFUSED,
)
def test_a_study_has_one_round_at_a_time(actors: Actors, study: StudyId) -> None:
    round_id = actors.open(study)
    with pytest.raises(ContractRefused, match="RoundStillOpen"):
        actors.open(study)
    with pytest.raises(ContractRefused, match="InvalidRoundId"):
        actors.open(actors.new_study("the provider's second"), round_id=round_id)


@attack(by="provider", to="stop", tries="to abort a round whose result it does not like", costs="nothing", seen=REFUSED)
def test_the_provider_aborts_no_round_early(actors: Actors, study: StudyId) -> None:
    round_id = actors.committed(study)
    with pytest.raises(ContractRefused, match="DeadlineNotPassed"):
        actors.send(actors.provider, actors.ledger.abort_round(round_id))
    result = actors.result(round_id)
    actors.send(actors.nodes[2], actors.ledger.finalise_round(result, actors.sign(result, *actors.nodes[1:])))


@attack(
    by="provider",
    to="change",
    tries="to blame other hospitals for an aborted round than its nodes did",
    costs="nothing",
    seen=REFUSED,
)
def test_the_provider_changes_no_blame(actors: Actors, study: StudyId) -> None:
    guilty, friend, victim = (actors.hospital().address for _ in range(3))
    abort = actors.end(actors.committed(study), guilty, friend)
    signatures = actors.sign_end(abort, *actors.nodes)
    for blamed in ((), (guilty,), (friend, guilty), (guilty, friend, victim)):
        with pytest.raises(ContractRefused, match="NotANode"):
            actors.send_end(replace(abort, blamed=blamed), signatures)
    actors.send_end(abort, signatures)


@attack(
    by="provider",
    to="stop",
    tries="to end a round by its nodes' signatures to a result, or to another round's end",
    costs="nothing",
    seen=REFUSED,
)
def test_signatures_to_something_else_end_no_round(actors: Actors, study: StudyId) -> None:
    earlier = actors.end(actors.committed(study))
    ended = actors.sign_end(earlier, *actors.nodes)
    actors.send_end(earlier, ended)
    abort = actors.end(actors.committed(study))
    for signatures in (ended, actors.sign(actors.result(abort.round), *actors.nodes)):
        with pytest.raises(ContractRefused, match="NotANode"):
            actors.send_end(abort, signatures)
    assert actors.ledger.status(abort.round) is RoundStatus.COMMITTED


@attack(by="provider", to="stop", tries="to end a round that has a result", costs="nothing", seen=REFUSED)
def test_a_finished_round_is_ended_by_nobody(actors: Actors, study: StudyId) -> None:
    abort = actors.end(actors.committed(study))
    result = actors.result(abort.round)
    actors.send(actors.provider, actors.ledger.finalise_round(result, actors.sign(result, *actors.nodes)))
    with pytest.raises(ContractRefused, match="WrongStatus"):
        actors.send_end(abort, actors.sign_end(abort, *actors.nodes))
    assert actors.ledger.study(study).current_round == abort.round


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("training: {steps: 100000000000}", "training.steps: got 100000000000, want less than or equal to 100000"),
        (
            "deadlines: {commit_seconds: 99999999999999}",
            "deadlines.commit_seconds: got 99999999999999, want less than or equal to 604800",
        ),
        ('schedule: "0 3 * * 0 * *"', "schedule: got '0 3 \\* \\* 0 \\* \\*', want five fields of cron"),
        ("a: &a [x, x]\nb: [*a, *a]", "got 'an anchor or alias in line 1'"),
    ],
    ids=["steps without end", "a round of three million years", "a round a second", "aliases"],
)
@attack(
    by="provider",
    to="stop",
    tries="to stall its members by a study's numbers or aliases",
    costs="nothing",
    seen="the field, refused at each member",
)
def test_a_study_without_bounds_is_refused_at_every_member(line: str, said: str, tmp_path: Path) -> None:
    content = yaml.safe_load((PROJECT / "studies" / "pneumonia.yaml").read_text())
    content.pop(line.partition(":")[0], None)
    file = tmp_path / "pneumonia.yaml"
    file.write_text(f"{line}\n{yaml.safe_dump(content)}")
    with pytest.raises(InvalidStudy, match=said):
        Study.load(file)
