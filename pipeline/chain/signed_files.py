"""The files of what one key signed on one chain: each transaction before it is sent, and what became of it.

Per chain and key (mode 600, never changed once written):
  <nonce>.<label>.tx.json        the signed bytes, their hash, the call, the chain's genesis
  <nonce>.<label>.tx-2.json      what was signed in its place, and so on
  <nonce>.<label>.receipt.json   block, block hash, gas, the refusal if it reverted
  restored                       the folder came back from a backup: the key's later transactions are missed once
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.domain import Address
from pipeline.host.files import locked, write_secret

_RESTORED = "restored"


@dataclass(frozen=True)
class Signed:
    """A transaction as persisted before it was sent."""

    label: str
    nonce: int
    name: str
    to: Address | None
    data: str
    raw: str
    transaction: str
    genesis: str
    gas: int = 0
    price: int = 0
    gives_up: bool = False


@dataclass(frozen=True)
class Mined:
    """What became of it."""

    block: int
    block_hash: str
    gas_used: int
    contract: Address | None
    refused: Mapping[str, Any] | None
    transaction: str | None = None
    """None where only one was ever signed."""
    gave_up: bool = False


@dataclass(frozen=True)
class Slot:
    """What a file's name tells about a transaction."""

    nonce: int
    label: str
    settled: bool


@dataclass(frozen=True)
class Waiting:
    """A transaction that no receipt is known of."""

    label: str
    sender: Address
    nonce: int
    name: str
    """The call that it was first signed for."""
    since: float
    """Seconds since 1970."""
    price: int
    """Wei for a unit of gas, of the newest that was signed."""
    signed: int
    """How many times, under this nonce."""
    given_up: bool
    """Whether the newest one does nothing."""


class SignedFiles:
    """One key's transactions on one chain, below an actor's `folder`; any number of processes share them."""

    def __init__(self, folder: Path, chain_id: int, sender: Address) -> None:
        self._folder = folder / f"{chain_id}-{sender}"
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def lock(self) -> AbstractContextManager[None]:
        """Held by whoever signs: one nonce is used for one label."""
        return locked(self._folder / "lock")

    def slots(self) -> list[Slot]:
        """Every transaction by its file's name, in the order of nonces."""
        names = {path.name for path in self._folder.glob("*.json")}
        slots = []
        for name in sorted(names):
            nonce, label, kind, _ = name.split(".")
            if kind == "tx":
                slots.append(Slot(int(nonce), label, settled=f"{nonce}.{label}.receipt.json" in names))
        return slots

    def first(self, slot: Slot) -> Signed:
        """What was signed first under a nonce."""
        return _read(_file(self._folder, slot.nonce, slot.label, "tx"))

    def attempts(self, nonce: int, label: str) -> list[Signed]:
        """All that was signed under a nonce, oldest first."""
        return _attempts(self._folder, nonce, label)

    def persist(self, signed: Signed) -> None:
        """Keep what was signed first under a nonce: from now on it may be mined, whatever happens to this process."""
        self._write(signed, "tx")
        (self._folder / _RESTORED).unlink(missing_ok=True)

    def persist_instead(self, signed: Signed) -> None:
        """Keep what was signed in the place of what lies under its nonce: either may be mined from now on."""
        self._write(signed, f"tx-{len(self.attempts(signed.nonce, signed.label)) + 1}")

    def _write(self, signed: Signed, kind: str) -> None:
        write_secret(_file(self._folder, signed.nonce, signed.label, kind), json.dumps(asdict(signed)).encode())

    def mined(self, nonce: int, label: str) -> Mined | None:
        """What became of it; None while that is not known."""
        try:
            return Mined(**json.loads(_file(self._folder, nonce, label, "receipt").read_bytes()))
        except FileNotFoundError:
            return None

    def settle(self, nonce: int, label: str, mined: Mined) -> None:
        """Keep what became of it."""
        write_secret(_file(self._folder, nonce, label, "receipt"), json.dumps(asdict(mined)).encode())

    def gave_up(self, slot: Slot) -> bool:
        """Whether nothing was mined in its place."""
        mined = self.mined(slot.nonce, slot.label) if slot.settled else None
        return mined is not None and mined.gave_up

    @property
    def restored(self) -> bool:
        """Whether they came back from a backup, and nothing was signed since."""
        return (self._folder / _RESTORED).exists()


def waiting(folder: Path) -> list[Waiting]:
    """What waits of all keys below an actor's `folder`, by sender and nonce, as the files say; no chain is asked."""
    left = []
    for path in sorted(folder.glob("*/*.tx.json")):
        nonce, label, _, _ = path.name.split(".")
        if not path.with_name(f"{nonce}.{label}.receipt.json").exists():
            attempts = _attempts(path.parent, int(nonce), label)
            sender = Address(path.parent.name.partition("-")[2])
            newest = attempts[-1]
            left.append(
                Waiting(
                    label=label,
                    sender=sender,
                    nonce=int(nonce),
                    name=attempts[0].name,
                    since=path.stat().st_mtime,
                    price=newest.price,
                    signed=len(attempts),
                    given_up=newest.gives_up,
                )
            )
    return left


def mark_restored(folder: Path) -> None:
    """Note of all keys below an actor's `folder` that their files came back from a backup, which may be old."""
    for outbox in folder.glob("*/"):
        write_secret(outbox / _RESTORED, b"")


def _attempts(folder: Path, nonce: int, label: str) -> list[Signed]:
    found: list[Signed] = []
    path = _file(folder, nonce, label, "tx")
    while path.exists():
        found.append(_read(path))
        path = _file(folder, nonce, label, f"tx-{len(found) + 1}")
    return found


def _read(path: Path) -> Signed:
    return Signed(**json.loads(path.read_bytes()))


def _file(folder: Path, nonce: int, label: str, kind: str) -> Path:
    return folder / f"{nonce:010d}.{label}.{kind}.json"
