"""How a study comes to its end: its nodes see that its course is run, and a majority of them says so on the ledger.

What decides is what hospitals confirmed, signed, by the time that all of them had their turn. A node whose own reading
ends the study takes over the confirmations that others named before it, if the same end follows from them: so a
confirmation that comes between two nodes' readings keeps no majority from it. The number of rounds needs none.
"""

from __future__ import annotations

import logging
from collections import Counter
from functools import partial

from pipeline.audit import course as evidence
from pipeline.chain.ledger import StudyState
from pipeline.domain import Ending, Kind
from pipeline.errors import ContractRefused, Refused
from pipeline.evidence import signing
from pipeline.evidence.signing import Confirmed
from pipeline.round import ballots, equivocation
from pipeline.round.journal import Journal
from pipeline.round.worker import RoundContext, Worker
from pipeline.study import course as courses
from pipeline.study.fields import Course
from pipeline.study.study import Study

_LOG = logging.getLogger(__name__)

_OVERTAKEN = {"AlreadyConcluded", "NotCurrent", "RoundStillOpen"}
"""Another node was faster, or the study has gone on."""


def conclude(ctx: RoundContext, journal: Journal) -> Ending | None:
    """Sign that the study is done, where its course says so after this round; send it once a majority has signed.

    Returns why, or None where it goes on.
    """
    worker = ctx.worker
    course = worker.study.course
    if course is None or worker.ledger.study(worker.study_id).current_round != ctx.round_id:
        return None
    signed = journal.said(ctx.round_id, Kind.CONCLUSION)
    if signed is None:
        ledger = worker.ledger
        reason, confirmed = evidence.decided(ledger, ctx.state, worker.board.store, course)
        if reason is None:
            return None
        if confirmed:
            confirmed = _named_before(ctx, course, reason) or confirmed
        signed = signing.sign_conclusion(
            worker.identity.name,
            ctx.round_id,
            reason,
            confirmed,
            ledger.chain_id,
            ledger.contract,
            worker.identity.key,
        )
    worker.board.say(ctx.round_id, journal.say(ctx.round_id, signed))
    _send(ctx)
    return Ending(signed.body["reason"])


def require_going_on(study: Study, state: StudyState) -> None:
    """Raise Refused when the study's nodes have concluded it."""
    if (sentence := concluded(study, state)) is not None:
        raise Refused(
            f"study {study.name}: {sentence}; no round of it opens any more. To go on from its model, propose a version"
            f" that continues it: `wardround study continue {study.name} NAME`"
        )


def require_rounds_left(worker: Worker) -> None:
    """Raise Refused when a study has had the rounds that its course allows, also before anybody concluded it."""
    ledger, study = worker.ledger, worker.study
    own = [one for one in ledger.rounds(worker.study_id) if one.finalised is not None]
    if study.course is None or not own:
        return
    last = own[-1]
    if courses.has_run(study.course, evidence.finished(ledger, last, worker.board.store)):
        raise Refused(
            f"study {study.name}: {courses.because(study.course, Ending.MOST_ROUNDS)}; no round of it opens any more."
            f" To have the ledger say so, run the step conclude of round {last.round} at its nodes again"
        )


def concluded(study: Study, state: StudyState) -> str | None:
    """How the study was concluded, in words; None while its rounds go on."""
    if state.concluded is None:
        return None
    reason = state.concluded.reason
    why = courses.because(study.course, reason) if study.course else f"its nodes gave the reason {reason}"
    return f"concluded with round {state.concluded.round}: {why}"


def _named_before(ctx: RoundContext, course: Course, reason: Ending) -> Confirmed | None:
    """The confirmations that most other nodes named so far for this end, of those from which it follows."""
    worker = ctx.worker
    barred = equivocation.suspended(worker)
    others = [node for node in worker.study.nodes if node not in barred]
    said = Counter(one for one, _ in ballots.signed(ctx, ballots.CONCLUSION, others).values() if one.reason == reason)
    for one, _ in said.most_common():
        listed = evidence.named_before(worker.ledger, ctx.state, worker.board.store, course, one)
        if listed is not None:
            return listed
    return None


def _send(ctx: RoundContext) -> None:
    """Put the conclusion on the ledger that a majority has signed by now; the last one to sign sees it."""
    decided = ballots.majority(ctx, ballots.CONCLUSION, equivocation.suspended(ctx.worker))
    if decided is None:
        return
    try:
        ctx.worker.outbox().send(partial(ctx.worker.ledger.conclude, *decided), f"conclude-{ctx.round_id}")
    except ContractRefused as error:
        if error.error not in _OVERTAKEN:
            raise
        _LOG.info("round %d: %s; the study is concluded, or has gone on", ctx.round_id, error.error)
