"""What members of this machine have sent to the ledger, by their present and former keys, and the chain has not mined.

A chain may yet mine what a former key signed; that key lies here still, so that it is offered, replaced and given up
like everything else.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from pipeline.chain.outbox import Outbox
from pipeline.chain.signed_files import Waiting, waiting
from pipeline.domain import Address
from pipeline.errors import Misconfigured, Refused
from pipeline.governance.owner import Owner
from pipeline.site.identity import is_here, own_key
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
    """Every one, after the chain was offered them again and had so long to mine them.

    Raises Unavailable, Misconfigured where the key that signed one is gone.
    """
    deadline = time.monotonic() + seconds
    while left := all_waiting(settings):
        for member, sender in {(one.member, one.transaction.sender) for one in left}:
            _outbox(member, sender, settings).settle()
        if time.monotonic() >= deadline:
            return all_waiting(settings)
        time.sleep(_POLL_SECONDS)
    return []


def replace(label: str, member: str | None, price: int | None, settings: Settings) -> int:
    """Send a member's transaction again under its nonce; the price that the chain took. Raises as `Outbox.replace`."""
    return _sender(label, member, settings).replace(label, price)


def give_up(label: str, member: str | None, price: int | None, settings: Settings) -> int:
    """Send nothing in its place; the price that the chain took. Raises as `Outbox.give_up`."""
    return _sender(label, member, settings).give_up(label, price)


def _sender(label: str, member: str | None, settings: Settings) -> Outbox:
    fitting = [one for one in all_waiting(settings) if one.transaction.label == label and member in (None, one.member)]
    if not fitting:
        raise Refused(f"{label}: got no transaction here that waits, want one that `wardround ledger waiting` lists")
    members = sorted({one.member for one in fitting})
    if len(members) > 1:
        names = ", ".join(members)
        raise Misconfigured(f"{label}: {names} each have one of this label here, want one of them: --as NAME")
    # A step that was run again after its member's key changed may have used the label twice.
    first = min(fitting, key=lambda one: one.transaction.since)
    return _outbox(first.member, first.transaction.sender, settings)


def _outbox(member: str, sender: Address, settings: Settings) -> Outbox:
    home = _homes(settings)[member]
    return Owner.open(home, settings).outbox(own_key(home, sender))


def _homes(settings: Settings) -> dict[str, Path]:
    """The members whose keys lie here, with their folders."""
    folders = {PROVIDER: settings.provider}
    for path in (settings.hospital("x").parent, settings.node("x").parent):
        folders |= {home.name: home for home in sorted(path.glob("*"))}
    return {name: home for name, home in folders.items() if is_here(home)}
