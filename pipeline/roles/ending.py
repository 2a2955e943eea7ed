"""How a round ends without a model: what each node saw of it, and what a majority of them signs to end it before its deadline.

A node that votes signs no end, and one that signed an end does not vote (`pipeline.mpc.journal`). What it saw is its own word: a cause
decides nothing. It says when the round is over who waited for whom, and which hospitals had no part in it and why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pipeline.domain import TRIES, Abort, HospitalName, Kind, Reason, RoundStatus
from pipeline.errors import EngineFailed, Rejected, RoundAborted, Silent, TooFew, WardroundError
from pipeline.evidence import signing
from pipeline.mpc.journal import Journal
from pipeline.roles.desk import Sitting
from pipeline.roles.intake import committed, uncommitted
from pipeline.roles.lineage import lineage

_LONGEST = 500
"""Characters of an error that a cause repeats."""


@contextmanager
def watched(sitting: Sitting, journal: Journal, stage: str) -> Iterator[None]:
    """Keep what stops a node's stage for its cause, and sign the round's end where no node can have another.

    Raises RoundAborted for a node that has signed the round's end before.
    """
    round_id, me = sitting.round_id, sitting.desk.identity.name
    if (signed := journal.said(round_id, Kind.ABORT)) is not None:
        sitting.desk.board.say(round_id, signed)
        raise RoundAborted(f"round {round_id}: {me} has signed its end ({signed.body['reason']}); a later round has its own chance")
    try:
        yield
    except WardroundError as error:
        before = journal.trouble(round_id)
        tried = before["tried"] if before.get("stage") == stage else 0
        tried += isinstance(error, EngineFailed)
        journal.note_trouble(round_id, _trouble(stage, error) | {"tried": tried})
        if isinstance(error, TooFew):
            _sign(sitting, journal, Reason(error.reason), error.blamed)
        elif tried >= TRIES:
            _sign(sitting, journal, Reason.ENGINE_FAILED, ())
        raise


def say_cause(sitting: Sitting, journal: Journal) -> None:
    """Publish what this node saw of a round that was aborted, once."""
    if sitting.state.status is not RoundStatus.ABORTED or sitting.state.opened.study_digest != sitting.desk.digest:
        return  # what it signs now is bound to the study as it is now
    round_id = sitting.round_id
    said = journal.said(round_id, Kind.CAUSE) or sitting.desk.sign(Kind.CAUSE, _cause(sitting, journal), sitting.context)
    sitting.desk.board.say(round_id, journal.say(round_id, said))


def _sign(sitting: Sitting, journal: Journal, reason: Reason, blamed: tuple[str, ...]) -> None:
    desk, round_id = sitting.desk, sitting.round_id
    accounts = tuple(desk.consortium.hospital(name) for name in desk.study.hospitals if name in blamed)
    abort = Abort(round_id, desk.digest, sitting.commit_root, sitting.previous_model, reason, accounts)
    ledger = desk.ledger
    signed = signing.sign_abort(desk.identity.name, abort, ledger.chain_id, ledger.contract, desk.identity.key)
    desk.board.say(round_id, journal.say(round_id, signed))


def _trouble(stage: str, error: WardroundError) -> dict[str, Any]:
    waited = {"kind": error.kind, "nodes": list(error.nodes)} if isinstance(error, Silent) else None
    blamed = [HospitalName(name) for name in error.blamed] if isinstance(error, TooFew) else []
    return {"stage": stage, "saw": _line(error), "waited_for": waited, "blamed": blamed}


def _line(error: WardroundError) -> str:
    return f"{type(error).__name__}: {error}"[:_LONGEST]


def _cause(sitting: Sitting, journal: Journal) -> dict[str, Any]:
    """What this node last met with, or else how far it came; and who had no part in the round for it."""
    nothing: dict[str, Any] = {"waited_for": None, "blamed": [], "tried": 0}
    try:
        absent: Mapping[HospitalName, str] = _absent(sitting, journal)
    except Rejected as error:
        return nothing | {"stage": "commit", "saw": _line(error), "absent": {}} | journal.trouble(sitting.round_id)
    return nothing | _came_to(sitting, journal, absent) | {"absent": dict(absent)} | journal.trouble(sitting.round_id)


def _came_to(sitting: Sitting, journal: Journal, absent: Mapping[HospitalName, str]) -> dict[str, str]:
    """How far a node came that met with nothing."""
    round_id, study = sitting.round_id, sitting.desk.study
    if sitting.state.committed is None:
        shared, floor = len(study.hospitals) - len(absent), study.accepted_floor
        return {"stage": "commit", "saw": f"no set was committed; it finds updates of {shared} hospitals that hold, {floor} are needed"}
    if journal.said(round_id, Kind.VOTE):
        return {"stage": "aggregate", "saw": "it voted; too few others did"}
    if journal.revealed(round_id) is not None:
        return {"stage": "aggregate", "saw": "it verified, and its aggregation did not run or did not end"}
    return {"stage": "verify", "saw": "its verification did not run or did not end"}


def _absent(sitting: Sitting, journal: Journal) -> Mapping[HospitalName, str]:
    """Each hospital that was absent, unusable or rejected for this node, with the reason: as it signed that, or else as it looks now."""
    round_id = sitting.round_id
    if (revealed := journal.revealed(round_id)) is not None:
        rejected = (name for name in revealed["inputs"] if name not in revealed["accepted"])
        return {**revealed["absent"], **{name: revealed["failed"].get(name, "rejected") for name in rejected}}
    for kind in (Kind.INPUT_SET, Kind.INVENTORY):
        if (said := journal.said(round_id, kind)) is not None:
            return dict(said.body["absent"])
    quarantined = lineage(sitting.desk, until=round_id).quarantined
    if sitting.state.committed is None:
        return uncommitted(sitting, quarantined)
    seen = committed(sitting, quarantined)
    return {**seen.barred, **seen.absent}
