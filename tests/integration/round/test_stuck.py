"""`wardround ledger` and `status` about a member's transactions that the chain has not mined."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pipeline.chain.contract import Call
from pipeline.chain.outbox import Outbox
from pipeline.errors import Misconfigured, Refused
from pipeline.governance import transactions
from pipeline.site import identity
from tests.support.offices import NORTHGATE, Office

pytestmark = pytest.mark.anvil


class _Ended(Exception):
    """The process that was sending is gone."""


def left_behind(owner: Office, home: Path, label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signed and kept, by a process that ended before it sent it, an hour ago."""

    def ended(*_: object) -> None:
        raise _Ended

    outbox = owner.outbox(home)
    with monkeypatch.context() as interrupted:
        interrupted.setattr(Outbox, "_broadcast", ended)
        with pytest.raises(_Ended):
            outbox.send(Call("something", outbox.address, b"\x01"), label)
    path = sorted((home / "outbox").glob(f"*/*.{label}.tx.json"))[-1]
    os.utime(path, (time.time() - 3600, time.time() - 3600))


def another_key(home: Path) -> None:
    identity.next_key(home)
    identity.succeed(home)


def test_what_waits_is_shown_and_goes_out_or_is_given_up(owner: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    home = owner.settings.hospital(NORTHGATE)
    assert "nothing waits" in owner.says("ledger", "waiting")
    left_behind(owner, home, "left", monkeypatch)
    (stuck,) = transactions.stuck(owner.settings, time.time())
    assert (stuck.member, stuck.transaction.label, stuck.transaction.given_up) == (NORTHGATE, "left", False)
    assert transactions.stuck(owner.settings, time.time() - 3590) == []
    # A chain that takes no fee has no balance either: nothing is sent in its place at no price.
    assert "left: nothing was sent in its place, at 0 wei" in owner.says("ledger", "give-up", "left")
    assert "nothing waits" in owner.says("ledger", "waiting")
    left_behind(owner, home, "left", monkeypatch)
    assert "nothing waits" in owner.says("ledger", "waiting"), "it is offered again, and mined"
    with pytest.raises(Refused, match="left: got no transaction here that waits"):
        owner.says("ledger", "replace", "left")


def test_what_a_former_key_signed_goes_out_or_is_given_up_by_that_key(
    owner: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = owner.settings.hospital(NORTHGATE)
    left_behind(owner, home, "before", monkeypatch)
    first = owner.key(home).address
    another_key(home)
    assert [one.transaction.sender for one in transactions.all_waiting(owner.settings)] == [first]
    assert "nothing waits" in owner.says("ledger", "waiting"), "it is offered by the key that signed it, and mined"

    left_behind(owner, home, "twice", monkeypatch)
    second = owner.key(home).address
    another_key(home)
    left_behind(owner, home, "twice", monkeypatch)
    assert "twice: nothing was sent in its place" in owner.says("ledger", "give-up", "twice")
    given_up = {one.transaction.sender: one.transaction.given_up for one in transactions.all_waiting(owner.settings)}
    assert given_up == {second: True, owner.key(home).address: False}
    assert "nothing waits" in owner.says("ledger", "waiting")


def test_a_key_that_is_gone_is_named_where_something_of_it_waits(
    owner: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = owner.settings.hospital(NORTHGATE)
    left_behind(owner, home, "left", monkeypatch)
    former = owner.key(home).address
    (home / "signing-key").unlink()
    identity.create(home)
    with pytest.raises(Misconfigured, match=f"northgate: got no key of {former}"):
        owner.says("ledger", "waiting")


def test_two_members_of_one_label_are_told_apart(owner: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    left_behind(owner, owner.settings.hospital(NORTHGATE), "both", monkeypatch)
    left_behind(owner, owner.settings.provider, "both", monkeypatch)
    with pytest.raises(Misconfigured, match="both: northgate, provider each have one of this label here"):
        owner.says("ledger", "give-up", "both")
    owner.says("ledger", "give-up", "both", "--as", "provider")
    assert [one.member for one in transactions.all_waiting(owner.settings) if not one.transaction.given_up] == [
        NORTHGATE
    ]
