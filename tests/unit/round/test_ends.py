"""Rounds that end without a model.

At once where a majority sees it, with what each node saw, and a strike for whom they blame.
"""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from pipeline.chain.ledger import StudyId, study_id
from pipeline.cli.audit import print_round
from pipeline.domain import TRIES, Address, Kind, NodeName, Reason, Result, RoundId, RoundStatus, Sha256, Statement
from pipeline.errors import ConflictingVote, EngineFailed, EvidenceRejected, PeerGaveUp, RoundAborted, Silent, TooFew
from pipeline.evidence import signing
from pipeline.report.round_view import gather
from pipeline.round import ballots, ending, provider
from pipeline.round.equivocation import suspended
from pipeline.round.journal import Journal
from pipeline.round.study_history import lineage
from pipeline.store import object_keys
from pipeline.views.member_status import member_status
from tests.adversary import attack
from tests.support.dealers import damaged, trained
from tests.support.installed import HOSPITALS, NODES, Installed
from tests.support.memory.site import MemorySite
from tests.support.rounds import Play

CEDAR, DAHLIA, ELM = HOSPITALS[2:5]
NORTH, EAST, WEST = NODES[:3]


def verified(site: Installed, play: Play, round_id: RoundId, *rejected: str) -> None:
    """What the nodes journal when a verification rejects these hospitals."""
    site.verified(play, round_id, [name for name in play.study.hospitals if name not in rejected])


def fails(play: Play, step: str, round_id: RoundId, *nodes: NodeName) -> None:
    for node in nodes:
        with pytest.raises(TooFew, match="2 hospitals accepted, want at least 3"):
            play.node(step, round_id, node)


def play_id(play: Play) -> StudyId:
    return study_id(play.study.name)


def cause(site: Installed, round_id: RoundId, node: NodeName) -> dict[str, object]:
    return dict(site.said(round_id, Kind.CAUSE, node).body)


@pytest.fixture(scope="module")
def few(site: Installed) -> tuple[Play, RoundId]:
    """A round that a majority ended because too few were accepted; west was away."""
    play = site.play("few", rule={"images_per_hospital": 6, "strikes": 2, "strike_window": 3})
    round_id = play.committed()
    verified(site, play, round_id, CEDAR, DAHLIA, ELM)
    fails(play, "aggregate", round_id, NORTH, EAST)
    with pytest.raises(RoundAborted, match=r"2 nodes ended it \(too_few_accepted\)"):
        provider.finalise("few", round_id, site.settings)
    for node in (NORTH, EAST):
        play.node("retire", round_id, node)
    return play, round_id


def test_a_round_that_cannot_end_with_a_model_ends_before_its_deadline(
    site: Installed, few: tuple[Play, RoundId]
) -> None:
    _, round_id = few
    state = site.ledger.round(round_id)
    assert state.status is RoundStatus.ABORTED
    assert state.aborted is not None
    assert state.decided is not None
    assert state.aborted.location.time < state.opened.result_deadline
    assert (state.decided.reason, state.decided.signers) == (Reason.TOO_FEW_ACCEPTED, 0b011)
    assert state.decided.blamed == tuple(map(site.members.hospital, (CEDAR, DAHLIA, ELM)))
    site.audits(round_id)


def test_each_node_says_what_it_saw(site: Installed, few: tuple[Play, RoundId]) -> None:
    _, round_id = few
    for node in (NORTH, EAST):
        said = cause(site, round_id, node)
        assert (said["stage"], said["blamed"]) == ("aggregate", [CEDAR, DAHLIA, ELM])
        assert said["absent"] == dict.fromkeys((CEDAR, DAHLIA, ELM), "rejected")
        assert "TooFew: " in str(said["saw"])
    assert site.board().digests(object_keys.statement(round_id, Kind.CAUSE, WEST)) == ()


def test_whom_a_majority_blames_has_a_strike_and_is_out_after_the_next(
    site: Installed, few: tuple[Play, RoundId]
) -> None:
    play, first = few
    worker = site.node_context(play, first, NORTH).worker
    assert lineage(worker).strikes == dict.fromkeys((CEDAR, DAHLIA, ELM), (first,))
    assert lineage(worker).quarantined == frozenset()
    second = play.committed("second")
    verified(site, play, second, DAHLIA, ELM, HOSPITALS[0])
    fails(play, "aggregate", second, EAST, WEST)
    with pytest.raises(RoundAborted, match="2 nodes ended it"):
        provider.finalise("few", second, site.settings)
    past = lineage(worker)
    assert past.strikes[DAHLIA] == (first, second)
    assert past.quarantined == {DAHLIA, ELM}
    assert past.judged == (first, second)


def test_a_node_signs_one_end_of_a_round(site: Installed, few: tuple[Play, RoundId]) -> None:
    play, round_id = few
    ctx = site.node_context(play, round_id, NORTH)
    journal = Journal(site.settings.node(NORTH) / "journal")
    with pytest.raises(RoundAborted, match="north has signed its end"), ending.watched(ctx, journal, "aggregate"):
        pytest.fail("it went on")
    result = site.said(round_id, Kind.ABORT, NORTH)
    vote = Statement(Kind.VOTE, NORTH, result.body, result.signature)
    with pytest.raises(ConflictingVote, match="has signed Abort"):
        journal.say(round_id, vote)


def test_a_node_that_signed_a_result_and_an_end_is_suspended_and_the_others_end_the_round(site: Installed) -> None:
    play = site.play("both")
    round_id = play.committed()
    verified(site, play, round_id, CEDAR, DAHLIA, ELM)
    fails(play, "aggregate", round_id, NORTH, EAST, WEST)
    ctx = site.node_context(play, round_id, WEST)
    result = Result(
        round_id, ctx.worker.digest, ctx.commit_root, 7, ctx.previous_model, Sha256("ab" * 32), Sha256("cd" * 32)
    )
    ctx.worker.board.say(
        round_id, signing.sign_vote(WEST, result, site.ledger.chain_id, site.ledger.contract, ctx.worker.identity.key)
    )
    assert not suspended(ctx.worker)
    with pytest.raises(RoundAborted, match="2 nodes ended it"):
        provider.finalise("both", round_id, site.settings)
    assert suspended(ctx.worker) == {WEST}
    decided = site.ledger.round(round_id).decided
    assert decided is not None
    assert decided.signers == 0b011


def test_an_engine_that_fails_at_every_try_ends_the_round_once_a_majority_says_so(site: Installed) -> None:
    play = site.play("engine")
    round_id = play.committed()
    for attempt in range(TRIES):
        for node in (NORTH, EAST):
            ctx = site.node_context(play, round_id, node)
            journal = Journal(site.settings.node(node) / "journal")
            assert ballots.majority(ctx, ballots.END, frozenset()) is None, f"before try {attempt}"
            with pytest.raises(EngineFailed), ending.watched(ctx, journal, "verify"):
                raise EngineFailed("a party died")
    with pytest.raises(RoundAborted, match="engine_failed"):
        provider.finalise("engine", round_id, site.settings)
    decided = site.ledger.round(round_id).decided
    assert decided is not None
    assert decided.blamed == ()
    following = play.open("next")
    assert site.ledger.status(following) is RoundStatus.OPEN


def test_nobody_waits_for_a_node_that_has_signed_the_round_s_end(site: MemorySite) -> None:
    play = site.play("given-up")
    round_id = play.committed()
    play.verify(round_id)
    ctx = site.node_context(play, round_id, NORTH)
    for _ in range(TRIES):
        with (
            pytest.raises(EngineFailed),
            ending.watched(ctx, Journal(site.settings.node(NORTH) / "journal"), "aggregate"),
        ):
            raise EngineFailed("a party died")
    with pytest.raises(PeerGaveUp, match=f"north signed the end of round {round_id}"):
        play.node("aggregate", round_id, EAST)
    with pytest.raises(RoundAborted, match=r"2 nodes ended it \(engine_failed\)"):
        provider.finalise("given-up", round_id, site.settings)


@attack(
    by="node",
    to="delay",
    tries="to hold a round to its deadline by saying nothing",
    costs="its name in each round that it does so",
    seen="the others' causes, which name it",
)
def test_a_node_that_does_not_take_part_is_named_by_the_others(site: MemorySite) -> None:
    play = site.play("silent")
    round_id = play.committed()
    site.near_deadline(round_id, 1)
    with pytest.raises(Silent, match="got no Inventory from east, west"):
        play.node("verify", round_id, NORTH)
    with pytest.raises(RoundAborted, match="aborted on the ledger"):
        provider.finalise("silent", round_id, site.settings)
    for node in (NORTH, WEST):
        play.node("retire", round_id, node)
    said = cause(site, round_id, NORTH)
    assert said["waited_for"] == {"kind": "Inventory", "nodes": [EAST, WEST]}
    assert cause(site, round_id, WEST)["saw"] == "its verification did not run or did not end"
    assert site.ledger.round(round_id).decided is None


def test_who_kept_a_round_from_its_commit_is_named_by_every_node_and_has_no_strike(site: Installed) -> None:
    play = site.play("uncommitted")
    round_id = play.open()
    aster, birch, cedar, dahlia, elm = HOSPITALS[:5]
    for hospital in (aster, birch):
        for step in ("validate", "train", "share"):
            play.hospital(step, round_id, hospital)
    play.hospital("validate", round_id, cedar)
    ctx = site.hospital_context(play, round_id, dahlia)
    for said in ("one", "two"):
        ctx.worker.board.say(round_id, ctx.worker.sign(Kind.MANIFEST, {"hospital": dahlia, "said": said}, ctx.context))
    with pytest.raises(RoundAborted, match="2 hospitals shared an update, want at least 3"):
        play.provider("commit", round_id)
    site.pass_deadline(round_id)
    with pytest.raises(RoundAborted, match="aborted on the ledger"):
        provider.finalise("uncommitted", round_id, site.settings)
    play.nodes("retire", round_id)
    absent = {cedar: "no_manifest", dahlia: "conflicting_manifests", elm: "no_validation"}
    for node in play.study.nodes:
        said = cause(site, round_id, node)
        assert (said["stage"], said["absent"], said["blamed"]) == ("commit", absent, [])
        assert said["saw"] == "no set was committed; it finds updates of 2 hospitals that hold, 3 are needed"
    past = lineage(site.node_context(play, round_id, NORTH).worker)
    assert (past.strikes, past.quarantined) == ({}, frozenset())
    found = gather(site.ledger.round(round_id), site.ledger, site.store()).end
    assert found is not None
    assert (found.reason, found.blamed) == (None, ())
    assert found.named == {name: {reason: play.study.nodes} for name, reason in absent.items()}


def test_of_those_that_had_no_part_only_who_sent_other_than_it_signed_has_a_strike(site: Installed) -> None:
    aster, birch, cedar, dahlia = hospitals = HOSPITALS[:4]
    play = site.play("unusable", hospitals=list(hospitals))
    round_id = play.open()
    play.hospitals(round_id, (aster, birch))
    dealing = trained(site, play, round_id, cedar)
    dealing.sending({node: damaged(data) for node, data in dealing.envelopes.items()}).post()
    play.commit(round_id)
    with pytest.raises(TooFew, match="2 hospitals took part, want at least 3"):
        play.nodes("verify", round_id)
    with pytest.raises(RoundAborted, match=r"nodes ended it \(too_few_took_part\)"):
        provider.finalise("unusable", round_id, site.settings)
    play.nodes("retire", round_id)
    for node in play.study.nodes:
        said = cause(site, round_id, node)
        assert said["absent"] == {cedar: "unrecoverable_component", dahlia: "no_manifest"}
        assert said["blamed"] == [cedar]
    assert lineage(site.node_context(play, round_id, NORTH).worker).strikes == {cedar: (round_id,)}


def test_who_sends_junk_whenever_too_few_are_left_is_out_and_shown_so_before_the_next_record(
    site: Installed, few: tuple[Play, RoundId]
) -> None:
    play, _ = few
    rounds = [
        gather(state, site.ledger, site.store(), {play_id(play): "few"})
        for state in reversed(site.ledger.rounds(play_id(play)))
    ]
    shown = member_status(site.members, site.ledger, [play.study], rounds)
    held = {hospital.name for hospital in shown.hospitals if "few" in hospital.quarantined}
    assert held == lineage(site.node_context(play, RoundId(rounds[0].round), NORTH).worker).quarantined == {DAHLIA, ELM}


@attack(
    by="provider",
    to="stop",
    tries="to show an end of a round that its nodes did not sign",
    costs="nothing",
    seen="a signature that does not fit",
)
def test_an_end_over_another_set_is_none(site: Installed, few: tuple[Play, RoundId]) -> None:
    _, round_id = few
    signed = site.said(round_id, Kind.ABORT, NORTH)
    forged = Statement(Kind.ABORT, NORTH, {**signed.body, "commit_root": Sha256("ab" * 32)}, signed.signature)
    with pytest.raises(EvidenceRejected, match="north's abort: got a signature by"):
        signing.check_abort(
            forged, site.ledger.chain_id, site.ledger.contract, Address(site.members.node(NORTH).address)
        )


def test_show_and_its_json_say_who_ended_it_who_is_blamed_and_who_said_nothing(
    site: Installed, few: tuple[Play, RoundId]
) -> None:
    _, round_id = few
    view = gather(site.ledger.round(round_id), site.ledger, site.store())
    printed = io.StringIO()
    print_round(view, Console(file=printed, width=300))
    shown = printed.getvalue()
    assert "ended        too few hospitals were accepted; signed by north, east" in shown
    assert "a strike for cedar, dahlia, elm" in shown
    assert "TooFew: round" in shown
    assert "west         said nothing about this round" in shown
    end = view.to_json()["end"]
    assert (end["reason"], end["blamed"], end["signers"]) == ("too_few_accepted", (CEDAR, DAHLIA, ELM), (NORTH, EAST))
    assert [(cause["node"], cause["saw"] is None) for cause in end["causes"]] == [
        (NORTH, False),
        (EAST, False),
        (WEST, True),
    ]
