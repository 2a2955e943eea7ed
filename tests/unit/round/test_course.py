"""A study that ends: its nodes conclude it on the ledger by what hospitals confirmed; no round of it opens again."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.audit import course as evidence
from pipeline.audit.audit_round import Outcome, audit
from pipeline.chain.ledger import study_id
from pipeline.domain import Conclusion, Ending, HospitalName, Kind, NodeName, RoundId, Statement
from pipeline.errors import ContractRefused, Refused
from pipeline.evidence import signing
from pipeline.evidence.canonical import digest
from pipeline.report.round_list import summary
from pipeline.report.round_view import gather
from pipeline.round import conclusion, node, provider
from pipeline.round.worker import RoundContext, hospital_worker, node_worker
from pipeline.setup import ledger
from pipeline.site.identity import Identity
from pipeline.store import object_keys
from pipeline.study.study import Study
from pipeline.views.observer import Observer
from plugins.console import round_cache
from plugins.console.round_cache import RoundCache
from tests.adversary import attack
from tests.support.memory.site import MemorySite
from tests.support.rounds import Play

ASTER, BIRCH, CEDAR, DAHLIA = map(HospitalName, ("aster", "birch", "cedar", "dahlia"))
EASY = {"target": {"measure": "accuracy", "value": 0.3}}
PATIENT = {"commit_seconds": 900, "result_seconds": 1800}
"""Nothing here waits for a deadline."""
HARD = {"target": {"measure": "balanced_accuracy", "value": 0.9999}}


def play(site: MemorySite, name: str, course: object) -> Play:
    return site.play(name, hospitals=[ASTER, BIRCH, CEDAR], course=course, deadlines=PATIENT)


def reason(site: MemorySite, round_id: RoundId) -> str | None:
    event = site.ledger.round(round_id).concluded
    return event.reason if event else None


def checked(site: MemorySite, round_id: RoundId) -> tuple[Outcome, str]:
    (check,) = (one for one in audit(round_id, site.ledger, site.store()).checks if one.name == "conclusion")
    return check.outcome, check.detail


def finalised(of: Play) -> RoundId:
    """A round that has its model, and that no hospital confirmed yet."""
    round_id = of.open()
    of.hospitals(round_id)
    of.commit(round_id)
    of.verify(round_id)
    of.aggregate(round_id)
    of.provider("finalise", round_id)
    return round_id


def unconcluded(of: Play) -> RoundId:
    """A round that all hospitals confirmed, and that no node looked at since."""
    round_id = finalised(of)
    for name in of.study.hospitals:
        of.hospital("confirm", round_id, name)
    return round_id


def confirm_as(site: MemorySite, of: Play, round_id: RoundId, body: Mapping[str, object]) -> None:
    """Let aster confirm the round's model with counts that it makes up."""
    worker = hospital_worker(of.study.name, ASTER, site.settings)
    ctx = RoundContext.join(worker, round_id, site.ledger.status(round_id))
    worker.board.say(round_id, worker.sign(Kind.CONFIRMATION, {"model": ctx.new_model} | body, ctx.context))


def open_anyway(site: MemorySite, of: Play, round_id: RoundId) -> None:
    """As a provider does that asks nobody."""
    now = site.ledger.block_time()
    call = site.ledger.open_round(
        round_id,
        study_id(of.study.name),
        study_digest=site.ledger.round(RoundId(round_id - 1)).opened.study_digest,
        previous_model=site.ledger.study(study_id(of.study.name)).current_model,
        sealing_keys=[site.ledger.study(study_id(of.study.name)).current_model],
        commit_deadline=now + 60,
        result_deadline=now + 120,
    )
    site.outbox().send(call, f"open-anyway-{round_id}")


def signed_by(
    site: MemorySite, round_id: RoundId, why: Ending, confirmed: signing.Confirmed, names: Iterable[str]
) -> None:
    """Let nodes conclude a round's study whatever its course says: say it in the store and send it."""
    said = [said_by(site, round_id, why, confirmed, name) for name in names]
    decided = Conclusion(round_id, why, digest(confirmed))
    call = site.ledger.conclude(decided, [statement.signature for statement in said])
    site.outbox().send(call, f"conclude-{round_id}")


def said_by(site: MemorySite, round_id: RoundId, why: Ending, confirmed: object, name: str) -> Statement:
    """Let a node say in the store that a round concluded its study, by whatever confirmations."""
    home = site.settings.node(name)
    made: Any = confirmed
    said = signing.sign_conclusion(
        name, round_id, why, made, site.ledger.chain_id, site.ledger.contract, Identity.load(home).key
    )
    site.board(home).say(round_id, said)
    return said


@pytest.fixture(scope="module")
def reached(site: MemorySite) -> tuple[Play, RoundId]:
    """A study whose first round reaches its target."""
    of = play(site, "reached", EASY)
    return of, of.round()


def test_a_target_that_is_reached_concludes_the_study_and_the_round_audits(
    site: MemorySite, reached: tuple[Play, RoundId]
) -> None:
    _, round_id = reached
    event = site.ledger.round(round_id).concluded
    assert event is not None
    assert (event.reason, event.signers.bit_count() >= 2) == (Ending.TARGET_REACHED, True)
    outcome, detail = checked(site, round_id)
    assert outcome is Outcome.PASSED
    assert "reached the target of 30 %; it follows from what hospitals confirmed" in detail
    site.audits(round_id)


def test_the_record_has_the_course_and_views_and_report_say_why(
    site: MemorySite, reached: tuple[Play, RoundId]
) -> None:
    _, round_id = reached
    assert site.record(round_id)["course"] == {
        "target": {"measure": "accuracy", "of": None, "value": "0.3"},
        "patience": None,
        "most_rounds": None,
    }
    view = gather(site.ledger.round(round_id), site.ledger, site.store())
    assert view.conclusion == "the lower end of the 95 % interval of its accuracy reached the target of 30 %"
    assert view.to_json()["concluded"] == summary(view).to_json()["concluded"] == "target_reached"


def test_no_round_opens_any_more_at_the_provider_at_a_node_or_on_the_ledger(
    site: MemorySite, reached: tuple[Play, RoundId]
) -> None:
    of, round_id = reached
    sentence = (
        f"study reached: concluded with round {round_id}: .*; no round of it opens any more. To go on from its model"
    )
    with pytest.raises(Refused, match=sentence):
        provider.number("reached", "another", site.settings)
    with pytest.raises(Refused, match=sentence):
        node.prepare("reached", RoundId(round_id + 1), NodeName("north"), site.settings)
    with pytest.raises(ContractRefused, match="AlreadyConcluded"):
        open_anyway(site, of, RoundId(round_id + 1))


def test_a_node_that_comes_late_finds_the_study_concluded_and_says_the_same(
    site: MemorySite, reached: tuple[Play, RoundId]
) -> None:
    of, round_id = reached
    before = site.ledger.height()
    of.nodes("conclude", round_id)
    assert site.ledger.height() == before
    assert [
        len(site.board().digests(object_keys.statement(round_id, Kind.CONCLUSION, name))) for name in of.study.nodes
    ] == [1, 1, 1]


def test_another_study_goes_on_from_it(site: MemorySite, reached: tuple[Play, RoundId]) -> None:
    _, round_id = reached
    written = site._write(
        "goes_on",
        {
            "hospitals": [ASTER, BIRCH, CEDAR],
            "continues": {"study": "reached", "round": int(round_id)},
            "course": {"most_rounds": 1},
            "deadlines": PATIENT,
        },
    )
    study = Study.load(written)
    ledger.register_studies(site.settings, site.services, site.members, {"goes_on": study})
    site.approve(study)
    further = Play("goes_on", site.settings).round()
    assert reason(site, further) == Ending.MOST_ROUNDS, "rounds of the study before do not count"
    site.audits(further)


def test_a_study_whose_rounds_gain_nothing_ends_by_patience_and_one_with_many_rounds_by_their_number(
    site: MemorySite,
) -> None:
    of = play(site, "patient", HARD | {"patience": 1, "most_rounds": 9})
    rounds = [of.round("1")]
    while reason(site, rounds[-1]) is None:
        rounds.append(of.round(str(len(rounds) + 1)))
    assert 2 <= len(rounds) < 9
    assert [reason(site, one) for one in rounds] == [None] * (len(rounds) - 1) + [Ending.NOTHING_GAINED]
    for one in rounds:
        site.audits(one)
    assert checked(site, rounds[0]) == (Outcome.PASSED, "its course goes on")


def test_one_node_alone_concludes_nothing_and_the_second_does(site: MemorySite) -> None:
    of = play(site, "one_by_one", {"most_rounds": 1})
    round_id = unconcluded(of)
    of.node("conclude", round_id, NodeName("north"))
    assert reason(site, round_id) is None
    of.node("conclude", round_id, NodeName("east"))
    assert reason(site, round_id) == Ending.MOST_ROUNDS
    assert "it follows from the number of its rounds" in checked(site, round_id)[1]
    site.audits(round_id)


@attack(
    by="hospital",
    to="delay",
    tries="to keep a study from its last round's end by another confirmation between the nodes' readings",
    costs="nothing",
    seen="both confirmations, signed by it",
)
def test_a_second_confirmation_does_not_keep_a_study_from_its_last_rounds_end(site: MemorySite) -> None:
    of = play(site, "restless", EASY | {"most_rounds": 1})
    round_id = unconcluded(of)
    of.node("conclude", round_id, NodeName("north"))
    confirm_as(site, of, round_id, {"correct": 9, "tested": 9})
    of.node("conclude", round_id, NodeName("east"))
    assert reason(site, round_id) == Ending.MOST_ROUNDS
    assert checked(site, round_id)[0] is Outcome.PASSED


@attack(
    by="hospital",
    to="stop",
    tries="to end a study by itself, with a thousand million test records that it does not have",
    costs="nothing: it takes part",
    seen="its counts, signed by it",
)
@pytest.mark.parametrize("all_right", [True, False])
def test_whoever_claims_any_number_of_records_decides_no_end_by_itself(site: MemorySite, all_right: bool) -> None:
    of = play(
        site,
        f"claims_{all_right}".lower(),
        {"target": {"measure": "accuracy", "value": 0.999 if all_right else 0.2}},
    )
    round_id = finalised(of)
    for name in (BIRCH, CEDAR):
        of.hospital("confirm", round_id, name)
    confirm_as(site, of, round_id, {"correct": all_right * 10**9, "tested": 10**9})
    of.nodes("conclude", round_id)
    assert reason(site, round_id) == (None if all_right else Ending.TARGET_REACHED)
    site.audits(round_id)


def test_a_minority_of_confirmations_decides_nothing(site: MemorySite) -> None:
    of = play(site, "minority", EASY)
    round_id = finalised(of)
    of.hospital("confirm", round_id, ASTER)
    of.nodes("conclude", round_id)
    assert reason(site, round_id) is None
    assert checked(site, round_id) == (Outcome.PASSED, "its course goes on")


def test_a_hospital_that_was_not_accepted_decides_nothing(site: MemorySite) -> None:
    of = site.play("absent", hospitals=[ASTER, BIRCH, CEDAR, DAHLIA], course=EASY, deadlines=PATIENT)
    round_id = of.open()
    of.hospitals(round_id, [ASTER, BIRCH, CEDAR])
    of.commit(round_id)
    of.verify(round_id)
    of.aggregate(round_id)
    of.end(round_id)
    (looked_at,) = evidence.rounds(site.ledger, site.ledger.round(round_id), site.store(), most=1)
    assert set(evidence.confirmed(looked_at)) == {ASTER, BIRCH, CEDAR}
    assert reason(site, round_id) == Ending.TARGET_REACHED
    site.audits(round_id)


def test_a_confirmation_that_an_audit_refuses_does_not_count_and_the_conclusion_is_checked_all_the_same(
    site: MemorySite,
) -> None:
    of = play(site, "unfitting", EASY)
    round_id = finalised(of)
    for name in (BIRCH, CEDAR):
        of.hospital("confirm", round_id, name)
    confirm_as(site, of, round_id, {"correct": 90, "tested": 90, "confusion": {"classes": ["a"], "counts": [[90]]}})
    of.nodes("conclude", round_id)
    assert reason(site, round_id) == Ending.TARGET_REACHED
    found = {check.name: check.outcome for check in audit(round_id, site.ledger, site.store()).checks}
    assert (found["confirmations"], found["conclusion"]) == (Outcome.FAILED, Outcome.PASSED)
    row, *others = gather(site.ledger.round(round_id), site.ledger, site.store()).hospitals
    assert (row.name, row.correct, row.tested, row.confusion) == (ASTER, None, None, None)
    assert all(other.tested for other in others)


def test_a_study_that_has_had_its_rounds_gets_no_key_for_another_and_may_be_concluded_late(site: MemorySite) -> None:
    of = play(site, "unconcluded", {"most_rounds": 1})
    round_id = unconcluded(of)
    assert checked(site, round_id) == (
        Outcome.PASSED,
        "not concluded with this round, although by what is stored now it has had the 1 rounds that its course allows",
    )
    with pytest.raises(Refused, match="it has had the 1 rounds that its course allows; no round of it opens any more"):
        node.prepare("unconcluded", RoundId(round_id + 1), NodeName("north"), site.settings)
    of.nodes("conclude", round_id)
    assert reason(site, round_id) == Ending.MOST_ROUNDS


def test_a_node_that_saw_another_confirmation_takes_over_those_that_ended_the_study_before_it(
    site: MemorySite,
) -> None:
    of = play(site, "differently", EASY)
    round_id = finalised(of)
    for name, seen_by in zip(of.study.hospitals, of.study.nodes, strict=True):
        of.hospital("confirm", round_id, name)
        of.node("conclude", round_id, seen_by)
    assert reason(site, round_id) == Ending.TARGET_REACHED
    outcome, detail = checked(site, round_id)
    assert outcome is Outcome.PASSED
    assert detail.endswith("; 1 confirmations beside them came later, or were left out")
    site.audits(round_id)


@attack(
    by="hospital",
    to="delay",
    tries="to keep a study from its target by another confirmation between the nodes' readings",
    costs="nothing",
    seen="both confirmations, signed by it",
)
def test_a_second_confirmation_between_two_nodes_readings_does_not_keep_a_study_from_its_target(
    site: MemorySite,
) -> None:
    of = play(site, "changing", EASY)
    round_id = unconcluded(of)
    of.node("conclude", round_id, NodeName("north"))
    confirm_as(site, of, round_id, {"correct": 9, "tested": 9})
    of.node("conclude", round_id, NodeName("east"))
    assert reason(site, round_id) == Ending.TARGET_REACHED
    assert checked(site, round_id)[0] is Outcome.PASSED


@attack(
    by="node",
    to="stop",
    tries="to end a study early by a conclusion that the other nodes would take over",
    costs="nothing",
    seen="its conclusion, signed by it",
)
def test_no_node_takes_over_an_end_that_its_own_reading_does_not_show(site: MemorySite) -> None:
    of = play(site, "hasty", HARD)
    round_id = unconcluded(of)
    (looked_at,) = evidence.rounds(site.ledger, site.ledger.round(round_id), site.store(), most=1)
    held = evidence.named({round_id: evidence.confirmed(looked_at)})
    said_by(site, round_id, Ending.TARGET_REACHED, held, "north")
    for name in ("east", "west"):
        of.node("conclude", round_id, NodeName(name))
        assert site.board().digests(object_keys.statement(round_id, Kind.CONCLUSION, NodeName(name))) == ()
    assert reason(site, round_id) is None


@attack(
    by="node",
    to="delay",
    tries="to keep a study from its end by naming confirmations that are none",
    costs="nothing",
    seen="its conclusion, signed by it",
)
@pytest.mark.parametrize("what", ["no_rounds", "other_rounds", "no_object", "no_digest", "stranger", "too_few"])
def test_a_node_that_names_other_confirmations_keeps_no_majority_from_the_end(site: MemorySite, what: str) -> None:
    of = play(site, f"names_{what}", EASY)
    round_id = unconcluded(of)
    (looked_at,) = evidence.rounds(site.ledger, site.ledger.round(round_id), site.store(), most=1)
    held = evidence.named({round_id: evidence.confirmed(looked_at)})[str(round_id)]
    said: dict[str, object] = {
        "no_rounds": {},
        "other_rounds": {str(round_id + 1): held},
        "no_object": {str(round_id): {**held, ASTER: "ab" * 32}},
        "no_digest": {str(round_id): {**held, ASTER: "none"}},
        "stranger": {str(round_id): {**held, DAHLIA: held[ASTER]}},
        "too_few": {str(round_id): {ASTER: held[ASTER]}},
    }
    said_by(site, round_id, Ending.TARGET_REACHED, said[what], "north")
    for name in ("east", "west"):
        of.node("conclude", round_id, NodeName(name))
    assert reason(site, round_id) == Ending.TARGET_REACHED
    event = site.ledger.round(round_id).concluded
    assert event is not None
    assert event.evidence == digest({str(round_id): held})
    assert checked(site, round_id)[0] is Outcome.PASSED


def test_a_confirmation_that_does_not_hold_is_not_counted(site: MemorySite) -> None:
    of = play(site, "lying", HARD | {"most_rounds": 5})
    round_id = finalised(of)
    worker = hospital_worker("lying", ASTER, site.settings)
    ctx = RoundContext.join(worker, round_id, site.ledger.status(round_id))
    for body in ({"model": "0" * 64, "correct": 9, "tested": 9}, {"model": ctx.new_model, "correct": 9, "tested": -9}):
        worker.board.say(round_id, worker.sign(Kind.CONFIRMATION, body, ctx.context))
    of.nodes("conclude", round_id)
    assert reason(site, round_id) is None


def test_an_audit_refuses_a_conclusion_that_does_not_follow(site: MemorySite) -> None:
    of = play(site, "early", HARD)
    round_id = of.round()
    at = RoundContext.join(
        node_worker("early", NodeName("north"), site.settings), round_id, site.ledger.status(round_id)
    )
    (looked_at,) = evidence.rounds(site.ledger, at.state, site.store(), most=1)
    confirmed = evidence.named({round_id: evidence.confirmed(looked_at)})
    signed_by(site, round_id, Ending.TARGET_REACHED, confirmed, ["north", "east"])
    outcome, detail = checked(site, round_id)
    assert outcome is Outcome.FAILED
    assert "concluded as target_reached; from the confirmations follows that it goes on" in detail


def test_an_audit_refuses_a_conclusion_by_no_confirmations_or_of_a_study_without_a_course(site: MemorySite) -> None:
    of = play(site, "emptied", HARD)
    round_id = of.round()
    signed_by(site, round_id, Ending.TARGET_REACHED, {}, ["north", "east"])
    outcome, detail = checked(site, round_id)
    assert outcome is Outcome.FAILED
    assert f"want those of {round_id}" in detail
    of = site.play("courseless", hospitals=[ASTER, BIRCH, CEDAR], deadlines=PATIENT)
    round_id = of.round()
    signed_by(site, round_id, Ending.MOST_ROUNDS, {}, ["north", "east"])
    outcome, detail = checked(site, round_id)
    assert outcome is Outcome.FAILED
    assert "and has no course" in detail


def test_an_audit_names_confirmations_that_the_nodes_left_out(site: MemorySite) -> None:
    of = play(site, "left_out", HARD)
    round_id = of.round()
    at = RoundContext.join(
        node_worker("left_out", NodeName("north"), site.settings), round_id, site.ledger.status(round_id)
    )
    (looked_at,) = evidence.rounds(site.ledger, at.state, site.store(), most=1)
    held = evidence.confirmed(looked_at)
    signed_by(
        site, round_id, Ending.NOTHING_GAINED, evidence.named({round_id: {ASTER: held[ASTER]}}), ["north", "east"]
    )
    assert checked(site, round_id)[0] is Outcome.FAILED
    assert conclusion.concluded(of.study, site.ledger.study(study_id("left_out"))) is not None


def test_the_console_shows_a_conclusion_that_comes_long_after_its_round(
    site: MemorySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = play(site, "concluded-late", {"most_rounds": 1})
    round_id = unconcluded(of)
    site.chain.ahead += 2000
    cache = RoundCache(site.settings, Observer(site.ledger, site.store(), {}))
    assert cache.get(round_id).conclusion is None
    of.nodes("conclude", round_id)
    later = time.monotonic() + 1000
    monkeypatch.setattr(round_cache, "time", SimpleNamespace(monotonic=lambda: later))
    assert cache.get(round_id).conclusion == "it has had the 1 rounds that its course allows"
