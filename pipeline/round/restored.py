"""A member whose site came back from a backup stays out of the rounds that began before.

What it signed, opened or dealt in them after the backup was made, nobody here knows any more: a second vote would be
equivocation, a second opening would reveal a difference, and so would a second sharing of another update. Rounds have
numbers on the ledger, so the newest one at the first look after the restoration is the last that is refused.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.chain.ledger import Ledger
from pipeline.domain import RoundId
from pipeline.errors import Refused
from pipeline.evidence.canonical import canonical_json, read_object
from pipeline.host.files import locked, write_secret

_MARK = "restored.json"
_LOCK = "restored.lock"


def mark(home: Path) -> None:
    """Note in a member's private folder that it came back from a backup."""
    write_secret(home / _MARK, canonical_json({"last_round": None}))


def waits(home: Path) -> bool:
    """Whether the ledger has not been asked yet since the member came back."""
    return (home / _MARK).exists() and _last(home) is None


def last_refused(home: Path, ledger: Ledger) -> RoundId:
    """The newest round in which the member takes no step; 0 where it never came back from a backup."""
    if not (home / _MARK).exists():
        return RoundId(0)
    with locked(home / _LOCK):
        last = _last(home)
        if last is None:
            last = max((state.round for state in ledger.rounds()), default=0)
            write_secret(home / _MARK, canonical_json({"last_round": last}))
    return RoundId(last)


def refuse_earlier(home: Path, ledger: Ledger, round_id: RoundId) -> None:
    """Raise Refused for a round that had begun when the member came back from a backup."""
    if round_id <= last_refused(home, ledger):
        raise Refused(
            f"round {round_id}: began before the site of {home.name} was restored from a backup, which need not know"
            " all that it signed in it; nothing to do but wait for the next round"
        )


def _last(home: Path) -> int | None:
    last = read_object((home / _MARK).read_bytes())["last_round"]
    return None if last is None else int(last)
