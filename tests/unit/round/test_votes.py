"""One opening, one vote: what a node refuses after it agreed, and what becomes of one that signs twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.chain.ledger import HospitalStatus
from pipeline.domain import Kind, NodeName, Result, RoundId, RoundStatus, Sha256
from pipeline.errors import (
    ConflictingVote,
    ContractRefused,
    Refused,
    SecondOpening,
)
from pipeline.evidence import signing
from pipeline.round.equivocation import suspended
from pipeline.round.journal import Journal
from pipeline.store import object_keys
from tests.adversary import attack
from tests.support.edits import edited, rewritten
from tests.support.installed import HOSPITALS, NODES, Installed
from tests.support.rounds import Play

ASTER = HOSPITALS[0]
ELM = HOSPITALS[4]
NORTH, EAST = NODES[:2]


@attack(
    by="node",
    to="change",
    tries="to aggregate other components than were verified",
    costs="the round",
    seen="its refusal, with the hospital",
)
def test_an_aggregate_over_other_components_than_were_verified_is_never_opened(site: Installed) -> None:
    play = site.play("other_components")
    round_id = play.committed()
    listed = site.manifests(play, round_id)
    verified = listed | {ELM: Sha256("ab" * 32)}
    for node in play.study.nodes:
        journal = Journal(site.settings.node(node) / "journal")
        revealed = {"accepted": list(listed), "budget": 1, "inputs": verified, "absent": {}, "tested": {}, "broke": []}
        journal.reveal(round_id, revealed)
    for error in errors_of(play, "aggregate", round_id):
        assert isinstance(error, SecondOpening)
        assert "verified" in str(error)


def test_who_is_revoked_after_the_commit_is_in_this_round_and_out_of_the_next(site: Installed) -> None:
    play = site.play("revoked")
    round_id = play.committed()
    elm = site.members.hospital(ELM)
    outbox = site.outbox()
    outbox.send(site.ledger.revoke_hospitals([elm]), "revoke-elm")
    try:
        play.verify(round_id)
        play.aggregate(round_id)
        play.provider("finalise", round_id)
        assert site.record(round_id)["absent"] == {}
        following = play.open("next")
        assert site.node_context(play, following, NORTH).standings[ELM] is HospitalStatus.REVOKED
    finally:
        outbox.send(site.ledger.authorise_hospitals([elm]), "authorise-elm-again")


def errors_of(play: Play, step: str, round_id: RoundId) -> list[BaseException]:
    """What each node's step raises, all nodes at the same time."""
    errors: list[BaseException] = []

    def take(name: NodeName) -> None:
        try:
            play.node(step, round_id, name)
        except Exception as error:
            errors.append(error)

    play.each(take)
    assert len(errors) == len(play.study.nodes)
    return errors


@pytest.fixture(scope="module")
def voted(site: Installed) -> tuple[Play, RoundId]:
    """A round whose nodes have all voted, before its result is sent."""
    play = site.play("voted")
    round_id = play.committed()
    play.verify(round_id)
    play.aggregate(round_id)
    return play, round_id


@attack(
    by="node",
    to="learn",
    tries="to open a second aggregate without one hospital, and learn that one's update by the difference",
    costs="nothing",
    seen="nothing: every honest node refuses",
)
def test_a_second_aggregate_over_another_accepted_set_is_refused(site: Installed, voted: tuple[Play, RoundId]) -> None:
    play, round_id = voted
    revealed = site.settings.node(NORTH) / "journal" / f"revealed-{round_id}.json"
    without_elm = edited(lambda outcome: outcome["accepted"].remove(ELM))
    with rewritten(revealed, without_elm), pytest.raises(SecondOpening, match="two openings"):
        play.node("aggregate", round_id, NORTH)


def test_a_node_does_not_sign_a_second_vote_that_differs(site: Installed, voted: tuple[Play, RoundId]) -> None:
    play, round_id = voted
    revealed = site.settings.node(NORTH) / "journal" / f"revealed-{round_id}.json"
    with (
        rewritten(revealed, edited(lambda outcome: outcome.update(budget=1))),
        pytest.raises(ConflictingVote, match="resent"),
    ):
        play.node("aggregate", round_id, NORTH)
    assert len(site.board().digests(object_keys.statement(round_id, Kind.VOTE, NORTH))) == 1


@attack(
    by="provider",
    to="change",
    tries="to end a round by one node's vote",
    costs="nothing",
    seen="nothing: the ledger refuses it",
)
def test_the_ledger_takes_no_result_that_only_a_minority_signed(site: Installed, voted: tuple[Play, RoundId]) -> None:
    _, round_id = voted
    vote = site.said(round_id, Kind.VOTE, NORTH)
    outbox = site.outbox()
    for signatures in ([vote.signature], [vote.signature, vote.signature]):
        with pytest.raises(ContractRefused):
            outbox.send(
                site.ledger.finalise_round(Result(**vote.body), signatures), f"minority-{round_id}-{len(signatures)}"
            )


@attack(
    by="node",
    to="stop",
    tries="to split a vote by casting two",
    costs="its vote: it is suspended",
    seen="its two signatures, on the ledger",
)
def test_a_node_that_cast_two_votes_counts_for_none_and_the_round_ends_by_the_other_two(
    site: Installed, voted: tuple[Play, RoundId]
) -> None:
    play, round_id = voted
    result = Result(**site.said(round_id, Kind.VOTE, EAST).body)
    ctx = site.node_context(play, round_id, NORTH)
    other = signing.sign_vote(
        NORTH,
        replace(result, new_model=Sha256("ab" * 32)),
        site.ledger.chain_id,
        ctx.context.contract,
        ctx.worker.identity.key,
    )
    ctx.worker.board.say(round_id, other)
    assert not suspended(ctx.worker)
    play.provider("finalise", round_id)

    # Both signatures went to the ledger, which counts no further one of this node.
    assert suspended(ctx.worker) == {NORTH}
    finalised = site.ledger.round(round_id).finalised
    assert finalised is not None
    assert finalised.new_model == result.new_model
    assert len(site.ledger.signatures(finalised)) == 2
    assert site.ledger.status(round_id) is RoundStatus.FINALISED
    for step in ("validate", "train", "share"):
        with pytest.raises(Refused, match="the ledger says finalised"):
            play.hospital(step, round_id, ASTER)
    for step in ("prepare", "verify", "aggregate"):
        with pytest.raises(Refused, match="the ledger says finalised"):
            play.node(step, round_id, NORTH)
    with pytest.raises(Refused, match="the ledger says finalised"):
        play.provider("commit", round_id)
    equivocation = site.audit(round_id).first_problem
    assert equivocation is not None
    assert NORTH in equivocation

    following = play.open("after-the-suspension")
    play.hospitals(following)
    play.decide(following)
    finalised = site.ledger.round(following).finalised
    assert finalised is not None, "the other two are a majority of all three in every later round too"
    assert len(site.ledger.signatures(finalised)) == 2
    site.audits(following)

    late = site.node_context(play, round_id, EAST).worker
    late.board.say(
        round_id,
        signing.sign_vote(
            EAST, replace(result, verdicts=0), site.ledger.chain_id, late.ledger.contract, late.identity.key
        ),
    )
    play.nodes("retire", round_id)
    assert suspended(ctx.worker) == {NORTH, EAST}, "any node reports what it sees"
