"""What a node holds of a round in its own folder until the round ends.

All that opens what hospitals sent, and what it opened of it.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from nacl.public import PrivateKey

from pipeline.domain import RoundId
from pipeline.host.files import locked, write_secret
from pipeline.host.secret import Secret
from pipeline.round.opened_envelopes import OpenedEnvelopes

_KEYS = "sealing"
_OPENED = "opened"


@dataclass(frozen=True)
class Custody:
    """One round's part of a node's folder `home`: its keys lie in one place, what they keep in another."""

    home: Path
    round_id: RoundId

    def sealing_key(self) -> PrivateKey:
        """What opens the round's envelopes; raises Misconfigured when there is none (any more)."""
        return PrivateKey(Secret.read(self._sealing_key).reveal())

    def make_sealing_key(self) -> PrivateKey:
        """The same, made where there is none."""
        with locked(self._lock):
            if not self._sealing_key.exists():
                write_secret(self._sealing_key, bytes(PrivateKey.generate()))
        return self.sealing_key()

    def keep(self) -> OpenedEnvelopes:
        """What this node opened of the round; its key is made at the first use."""
        path = self.home / _KEYS / f"{self.round_id}-keep"
        with locked(self._lock):
            if not path.exists():
                write_secret(path, Secret.generate().reveal())
        return OpenedEnvelopes(self._opened, Secret.read(path))

    def nonce(self) -> Secret:
        """The node's part of the round's seed (`pipeline.round.seed`); raises FileNotFoundError where there is none."""
        return Secret.read(self._nonce)

    def make_nonce(self) -> Secret:
        """The same, made where there is none."""
        with locked(self._lock):
            if not self._nonce.exists():
                write_secret(self._nonce, Secret.generate().reveal())
        return self.nonce()

    @property
    def total(self) -> Path:
        """Where a large model's opened sum lies until the round ends."""
        return self.home / "journal" / f"total-{self.round_id}.i8"

    def destroy(self) -> None:
        """Destroy the round's keys, and after them what is nothing without them."""
        with locked(self._lock):
            for key in (self.home / _KEYS).iterdir():
                if _round(key) == self.round_id:
                    key.unlink()
            if self._opened.exists():
                shutil.rmtree(self._opened)
        self.total.unlink(missing_ok=True)

    @property
    def _sealing_key(self) -> Path:
        return self.home / _KEYS / str(self.round_id)

    @property
    def _nonce(self) -> Path:
        return self.home / _KEYS / f"{self.round_id}-nonce"

    @property
    def _opened(self) -> Path:
        return self.home / _OPENED / str(self.round_id)

    @property
    def _lock(self) -> Path:
        return self.home / _KEYS / "lock"


def rounds(home: Path) -> tuple[RoundId, ...]:
    """Rounds of which a node still holds something."""
    numbers = {_round(path) for folder in (_KEYS, _OPENED) for path in (home / folder).glob("*")}
    return tuple(sorted(number for number in numbers if number is not None))


def _round(path: Path) -> RoundId | None:
    """The round that a file or folder is of; a file that a killed process was writing has a dot before that."""
    named = re.match(r"\.?([0-9]+)", path.name)
    return RoundId(int(named[1])) if named else None
