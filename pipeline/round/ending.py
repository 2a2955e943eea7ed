"""How a round ends without a model.

What each node saw of it, and what a majority of them signs to end it before its deadline.

A node that votes signs no end, and one that signed an end does not vote (`pipeline.round.journal`). What it saw is its
own word: a cause decides nothing. It says when the round is over who waited for whom, and which hospitals had no part
in it and why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pipeline.domain import TRIES, Abort, HospitalName, Kind, Reason, RoundStatus
from pipeline.errors import EngineFailed, PeerGaveUp, Rejected, RoundAborted, Silent, TooFew, WardroundError
from pipeline.evidence import signing
from pipeline.round.journal import Journal
from pipeline.round.manifests import committed, uncommitted
from pipeline.round.study_history import lineage
from pipeline.round.worker import RoundContext

_LONGEST = 500
"""Characters of an error that a cause repeats."""


@contextmanager
def watched(ctx: RoundContext, journal: Journal, stage: str) -> Iterator[None]:
    """Keep what stops a node's stage for its cause, and sign the round's end where no node can have another.

    Raises RoundAborted for a node that has signed the round's end before.
    """
    round_id = ctx.round_id
    me = ctx.worker.identity.name
    if (signed := journal.said(round_id, Kind.ABORT)) is not None:
        ctx.worker.board.say(round_id, signed)
        raise RoundAborted(
            f"round {round_id}: {me} has signed its end ({signed.body['reason']}); a later round has its own chance"
        )
    try:
        yield
    except WardroundError as error:
        before = journal.trouble(round_id)
        tried = before["tried"] if before.get("stage") == stage else 0
        tried += isinstance(error, EngineFailed)
        journal.note_trouble(round_id, _trouble(stage, error) | {"tried": tried})
        if isinstance(error, TooFew):
            _sign(ctx, journal, Reason(error.reason), error.blamed)
        elif tried >= TRIES or isinstance(error, PeerGaveUp):
            _sign(ctx, journal, Reason.ENGINE_FAILED, ())
        raise


def say_cause(ctx: RoundContext, journal: Journal) -> None:
    """Publish what this node saw of a round that was aborted, once."""
    if ctx.state.status is not RoundStatus.ABORTED or ctx.state.opened.study_digest != ctx.worker.digest:
        return  # what it signs now is bound to the study as it is now
    round_id = ctx.round_id
    said = journal.said(round_id, Kind.CAUSE) or ctx.worker.sign(Kind.CAUSE, _cause(ctx, journal), ctx.context)
    ctx.worker.board.say(round_id, journal.say(round_id, said))


def _sign(ctx: RoundContext, journal: Journal, reason: Reason, blamed: tuple[str, ...]) -> None:
    worker = ctx.worker
    round_id = ctx.round_id
    accounts = tuple(worker.consortium.hospital(name) for name in worker.study.hospitals if name in blamed)
    abort = Abort(round_id, worker.digest, ctx.commit_root, ctx.previous_model, reason, accounts)
    ledger = worker.ledger
    signed = signing.sign_abort(worker.identity.name, abort, ledger.chain_id, ledger.contract, worker.identity.key)
    worker.board.say(round_id, journal.say(round_id, signed))


def _trouble(stage: str, error: WardroundError) -> dict[str, Any]:
    waited = {"kind": error.kind, "nodes": list(error.nodes)} if isinstance(error, Silent) else None
    blamed = [HospitalName(name) for name in error.blamed] if isinstance(error, TooFew) else []
    return {"stage": stage, "saw": _line(error), "waited_for": waited, "blamed": blamed}


def _line(error: WardroundError) -> str:
    return f"{type(error).__name__}: {error}"[:_LONGEST]


def _cause(ctx: RoundContext, journal: Journal) -> dict[str, Any]:
    """What this node last met with, or else how far it came; and who had no part in the round for it."""
    nothing: dict[str, Any] = {"waited_for": None, "blamed": [], "tried": 0}
    try:
        absent: Mapping[HospitalName, str] = _absent(ctx, journal)
    except Rejected as error:
        return nothing | {"stage": "commit", "saw": _line(error), "absent": {}} | journal.trouble(ctx.round_id)
    return nothing | _came_to(ctx, journal, absent) | {"absent": dict(absent)} | journal.trouble(ctx.round_id)


def _came_to(ctx: RoundContext, journal: Journal, absent: Mapping[HospitalName, str]) -> dict[str, str]:
    """How far a node came that met with nothing."""
    round_id = ctx.round_id
    study = ctx.worker.study
    if ctx.state.committed is None:
        shared = len(study.hospitals) - len(absent)
        floor = study.accepted_floor
        return {
            "stage": "commit",
            "saw": f"no set was committed; it finds updates of {shared} hospitals that hold, {floor} are needed",
        }
    if journal.said(round_id, Kind.VOTE):
        return {"stage": "aggregate", "saw": "it voted; too few others did"}
    if journal.revealed(round_id) is not None:
        return {"stage": "aggregate", "saw": "it verified, and its aggregation did not run or did not end"}
    return {"stage": "verify", "saw": "its verification did not run or did not end"}


def _absent(ctx: RoundContext, journal: Journal) -> Mapping[HospitalName, str]:
    """Each hospital that was absent, unusable or rejected for this node, with the reason.

    The reason is the one that the node signed; without one, what it sees now.
    """
    round_id = ctx.round_id
    if (revealed := journal.revealed(round_id)) is not None:
        rejected = (name for name in revealed["inputs"] if name not in revealed["accepted"])
        return {**revealed["absent"], **{name: revealed["failed"].get(name, "rejected") for name in rejected}}
    for kind in (Kind.INPUT_SET, Kind.INVENTORY):
        if (said := journal.said(round_id, kind)) is not None:
            return dict(said.body["absent"])
    quarantined = lineage(ctx.worker, until=round_id).quarantined
    if ctx.state.committed is None:
        return uncommitted(ctx, quarantined)
    seen = committed(ctx, quarantined)
    return {**seen.barred, **seen.absent}
