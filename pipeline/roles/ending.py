"""How a round ends without a model: what each node saw of it, and what a majority of them signs to end it before its deadline.

A node that votes signs no end, and one that signed an end does not vote (`pipeline.mpc.journal`). What it saw is its own word: a cause
decides nothing, and says who waited for whom when the round is over.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.domain import TRIES, Abort, HospitalName, Kind, Reason, RoundId, RoundStatus
from pipeline.errors import EngineFailed, RoundAborted, Silent, TooFew, WardroundError
from pipeline.evidence import signing
from pipeline.mpc.journal import Journal
from pipeline.roles.desk import Sitting

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
    said = journal.said(round_id, Kind.CAUSE) or sitting.desk.sign(Kind.CAUSE, _cause(journal, round_id), sitting.context)
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
    return {"stage": stage, "saw": f"{type(error).__name__}: {error}"[:_LONGEST], "waited_for": waited, "hospitals": blamed}


def _cause(journal: Journal, round_id: RoundId) -> dict[str, Any]:
    """What this node last met with; else how far it came, where nothing kept it."""
    trouble = journal.trouble(round_id)
    if trouble:
        return trouble
    if journal.said(round_id, Kind.VOTE):
        stage, saw = "aggregate", "it voted; too few others did"
    elif journal.revealed(round_id) is not None:
        stage, saw = "aggregate", "it verified, and its aggregation did not run or did not end"
    else:
        stage, saw = "verify", "its verification did not run or did not end"
    return {"stage": stage, "saw": saw, "waited_for": None, "hospitals": [], "tried": 0}
