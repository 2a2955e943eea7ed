"""One node of the study, with its key."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.chain.ledger import study_id
from pipeline.domain import Decision, NodeKey, NodeSet, Release, Result, RoundStatus, Sha256
from pipeline.errors import ContractRefused
from pipeline.evidence.signing import sign_change
from pipeline.host.secret import Secret
from pipeline.ledger_types.events import StudyId
from pipeline.site.identity import SigningKey
from tests.adversary import attack
from tests.support.chains import CHAIN_ID, MODEL, ROOT, Actors

pytestmark = pytest.mark.anvil

REFUSED = "nothing: the ledger refuses it"


@attack(by="node", to="change", tries="to decide a round alone, or by signing twice", costs="nothing", seen=REFUSED)
def test_one_node_decides_no_round(actors: Actors, study: StudyId) -> None:
    result = actors.result(actors.committed(study))
    (own,) = actors.sign(result, actors.nodes[0])
    for signatures, error in (([own], "NoMajority"), ([own, own], "DuplicateSigner")):
        with pytest.raises(ContractRefused, match=error):
            actors.send(actors.nodes[0], actors.ledger.finalise_round(result, signatures))
    assert actors.ledger.status(result.round) is RoundStatus.COMMITTED


@attack(
    by="node",
    to="change",
    tries="to leave it to the provider which of two results stands",
    costs="its vote: it is suspended",
    seen="its two signatures, on the ledger",
)
def test_a_node_that_signs_two_results_is_suspended(actors: Actors, study: StudyId) -> None:
    node = actors.nodes[0]
    first = actors.result(actors.committed(study))
    second = replace(first, new_model=Sha256("41" * 32))
    (one,) = actors.sign(first, node)
    (other,) = actors.sign(second, node)
    actors.send(actors.stranger, actors.ledger.report_equivocation(first, one, second, other))
    assert actors.ledger.suspended(study, node.address)
    with pytest.raises(ContractRefused, match="SuspendedNode"):
        actors.send(node, actors.ledger.finalise_round(first, actors.sign(first, *actors.nodes[:2])))
    actors.send(actors.nodes[1], actors.ledger.finalise_round(first, actors.sign(first, *actors.nodes[1:])))


@pytest.mark.parametrize("decisions", ["result and end", "two ends"])
@attack(
    by="node",
    to="change",
    tries="to leave it to the provider whether a round ends with a model, or who is blamed for its end",
    costs="its vote: it is suspended",
    seen="its two signatures, on the ledger",
)
def test_a_node_that_signs_an_end_beside_another_decision_is_suspended(
    actors: Actors, study: StudyId, decisions: str
) -> None:
    node = actors.nodes[0]
    end = actors.end(actors.committed(study), actors.hospital().address)
    (ended,) = actors.sign_end(end, node)
    other: Decision = actors.result(end.round) if decisions == "result and end" else replace(end, blamed=())
    (second,) = actors.sign(other, node) if isinstance(other, Result) else actors.sign_end(other, node)
    actors.send(actors.stranger, actors.ledger.report_equivocation(end, ended, other, second))
    assert actors.ledger.suspended(study, node.address)
    with pytest.raises(ContractRefused, match="SuspendedNode"):
        actors.send_end(end, actors.sign_end(end, *actors.nodes[:2]))
    actors.send_end(end, actors.sign_end(end, *actors.nodes[1:]))


@attack(
    by="node",
    to="change",
    tries="to replace nodes or its key, or release a friend, by signing twice",
    costs="nothing",
    seen=REFUSED,
)
def test_one_node_changes_no_study(actors: Actors, study: StudyId) -> None:
    ledger = actors.ledger
    node = actors.nodes[0]
    mine = (node.address, actors.stranger.address, actors.provider.address)
    friend = actors.stranger.address
    nodes = sign_change(NodeSet(study, 1, mine), CHAIN_ID, actors.contract, node)
    release = sign_change(Release(study, 1, friend), CHAIN_ID, actors.contract, node)
    key = sign_change(NodeKey(study, 1, node.address, friend), CHAIN_ID, actors.contract, node)
    for signed in (1, 2):
        for call in (
            ledger.change_nodes(study, mine, [nodes] * signed),
            ledger.release_hospital(study, friend, [release] * signed),
            ledger.rotate_node_key(study, node.address, friend, [key] * signed),
        ):
            with pytest.raises(ContractRefused, match=r"NoMajority|DuplicateSigner"):
                actors.send(node, call)


@attack(by="node", to="stop", tries="to fix the set of another study", costs="nothing", seen=REFUSED)
def test_a_node_of_another_study_commits_nothing(actors: Actors, study: StudyId) -> None:
    foreign = SigningKey(Secret.generate())
    nodes = [foreign.address, *(node.address for node in actors.nodes[1:])]
    actors.send(actors.provider, actors.ledger.register_study(study_id("the adversary's own"), nodes, MODEL))
    with pytest.raises(ContractRefused, match="NotCommitter"):
        actors.send(foreign, actors.ledger.commit_round(actors.open(study), ROOT))


@attack(by="node", to="stop", tries="to abort a round early", costs="nothing", seen=REFUSED)
def test_one_node_aborts_no_round_early(actors: Actors, study: StudyId) -> None:
    round_id = actors.committed(study)
    with pytest.raises(ContractRefused, match="DeadlineNotPassed"):
        actors.send(actors.nodes[0], actors.ledger.abort_round(round_id))


@attack(
    by="node",
    to="stop",
    tries="to end a round alone by its signature, or by signing twice",
    costs="nothing",
    seen=REFUSED,
)
def test_one_node_ends_no_round(actors: Actors, study: StudyId) -> None:
    abort = actors.end(actors.committed(study))
    (own,) = actors.sign_end(abort, actors.nodes[0])
    for signatures, error in (([own], "NoMajority"), ([own, own], "DuplicateSigner")):
        with pytest.raises(ContractRefused, match=error):
            actors.send_end(abort, signatures)
    assert actors.ledger.status(abort.round) is RoundStatus.COMMITTED


@attack(
    by="node",
    to="change",
    tries="to have an honest hospital blamed for a round that the others end too",
    costs="the early end: its signature counts to nothing",
    seen="its signed end, which names another hospital than the others'",
)
def test_one_node_blames_nobody(actors: Actors, study: StudyId) -> None:
    guilty = actors.hospital().address
    honest = actors.hospital().address
    round_id = actors.committed(study)
    theirs = actors.end(round_id, guilty)
    own = actors.end(round_id, honest)
    mixed = [*actors.sign_end(own, actors.nodes[0]), *actors.sign_end(theirs, actors.nodes[1])]
    for abort in (theirs, own):
        with pytest.raises(ContractRefused, match="NotANode"):
            actors.send_end(abort, mixed)
    actors.send_end(theirs, actors.sign_end(theirs, *actors.nodes[1:]))
    decided = actors.ledger.round(round_id).decided
    assert decided is not None
    assert (decided.blamed, decided.signers) == ((guilty,), 0b110)
