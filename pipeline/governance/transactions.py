"""What members of this machine have sent to the ledger, and the chain has not mined."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from pipeline.chain.outbox import Waiting, waiting
from pipeline.errors import Misconfigured, Refused
from pipeline.governance.owner import Owner
from pipeline.site.identity import is_here
from pipeline.site.settings import Settings
from pipeline.site.site import PROVIDER

STUCK_SECONDS = 120
"""As long as a step waits for its transaction."""

_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class OwnWaiting:
    """One member's transaction."""

    member: str
    transaction: Waiting


def all_waiting(settings: Settings) -> list[OwnWaiting]:
    """Every one of every member of this machine, as the files say; no chain is asked."""
    return [OwnWaiting(name, one) for name, home in _homes(settings).items() for one in waiting(home / "outbox")]


def stuck(settings: Settings, now: float) -> list[OwnWaiting]:
    """Those that have waited longer than any step does; `now` in seconds since 1970."""
    return [one for one in all_waiting(settings) if now - one.transaction.since > STUCK_SECONDS]


def still_waiting(settings: Settings, seconds: float = 10) -> list[OwnWaiting]:
    """Every one, after the chain was offered them again and had so long to mine them; raises Unavailable."""
    deadline = time.monotonic() + seconds
    while left := all_waiting(settings):
        homes = _homes(settings)
        for name in {one.member for one in left}:
            Owner.open(homes[name], settings).outbox().settle()
        if time.monotonic() >= deadline:
            return all_waiting(settings)
        time.sleep(_POLL_SECONDS)
    return []


def replace(label: str, member: str | None, price: int | None, settings: Settings) -> int:
    """Send a member's transaction again under its nonce; the price that the chain took. Raises as `Outbox.replace`."""
    return _sender(label, member, settings).outbox().replace(label, price)


def give_up(label: str, member: str | None, price: int | None, settings: Settings) -> int:
    """Send nothing in its place; the price that the chain took. Raises as `Outbox.give_up`."""
    return _sender(label, member, settings).outbox().give_up(label, price)


def _sender(label: str, member: str | None, settings: Settings) -> Owner:
    fitting = [one for one in all_waiting(settings) if one.transaction.label == label and member in (None, one.member)]
    if not fitting:
        raise Refused(f"{label}: got no transaction here that waits, want one that `wardround ledger waiting` lists")
    if len(fitting) > 1:
        members = ", ".join(sorted({one.member for one in fitting}))
        raise Misconfigured(f"{label}: {members} each have one of this label here, want one of them: --as NAME")
    (one,) = fitting
    owner = Owner.open(_homes(settings)[one.member], settings)
    if owner.key.address != one.transaction.sender:
        raise Refused(
            f"{label}: it was signed by {one.transaction.sender}, and the present key of {one.member} is"
            f" {owner.key.address}: what a former key signed is neither replaced nor given up"
        )
    return owner


def _homes(settings: Settings) -> dict[str, Path]:
    """The members whose keys lie here, with their folders."""
    folders = {PROVIDER: settings.provider}
    for path in (settings.hospital("x").parent, settings.node("x").parent):
        folders |= {home.name: home for home in sorted(path.glob("*"))}
    return {name: home for name, home in folders.items() if is_here(home)}
