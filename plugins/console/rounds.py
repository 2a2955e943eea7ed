"""Every round's dossier at hand: settled ones are kept, the few that still change are gathered anew, a long past is read meanwhile."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock, Thread

from pipeline.audit.dossier import Dossier
from pipeline.domain import RoundId, RoundStatus
from pipeline.errors import WardroundError
from pipeline.roles.evidence import Evidence
from pipeline.settings import Settings

_SETTLED_AFTER_SECONDS = 900
"""Confirmations of a round and its workers' clocks arrive within this time of the chain after its end."""
_FRESH_SECONDS = 2.0
_AT_ONCE = 8
"""Rounds that a page waits for; more are read in the background, newest first."""
_ENDED = (RoundStatus.FINALISED, RoundStatus.ABORTED)


@dataclass(frozen=True)
class Known:
    """What is known of the rounds, newest first."""

    rounds: Sequence[Dossier]
    unread: int
    """Older rounds that are still being read."""


@dataclass
class RoundIndex:
    """Dossiers by round; every method raises Unavailable when chain or store do not answer."""

    settings: Settings
    _evidence: Evidence | None = None
    _height: int = -1
    _known: dict[RoundId, Dossier | None] = field(default_factory=dict)
    """In the order of opening; None while a round was not read yet."""
    _read_at: dict[RoundId, float] = field(default_factory=dict)
    """When a round that is not settled was read, on this machine's clock."""
    _lock: Lock = field(default_factory=Lock)
    _reader: Thread | None = None

    @property
    def evidence(self) -> Evidence:
        """Ledger and store, as the auditor of this installation reads them."""
        if self._evidence is None:
            self._evidence = Evidence.open(self.settings)
        return self._evidence

    def all(self) -> Known:
        """All rounds, as far as they were read."""
        with self._lock:
            self._look_for_new()
            stale = self._stale()
            for number in stale[:_AT_ONCE]:
                self._gather(number)
            if len(stale) > _AT_ONCE and (self._reader is None or not self._reader.is_alive()):
                self._reader = Thread(target=self._read_past, daemon=True)
                self._reader.start()
            found = [dossier for dossier in self._known.values() if dossier is not None]
            return Known(found[::-1], len(self._known) - len(found))

    def get(self, number: RoundId) -> Dossier:
        """One round; raises EvidenceRejected when the ledger has none of that number."""
        with self._lock:
            known = self._known.get(number)
            if known is None or number in self._read_at:
                known = self._gather(number)
            return known

    def _look_for_new(self) -> None:
        height = self.evidence.ledger.height()
        if height < self._height:  # a development chain that was restored
            self._known.clear()
            self._read_at.clear()
            self._height = -1
        if height > self._height:
            for number in self.evidence.ledger.opened(self._height + 1):
                self._known.setdefault(number, None)
            self._height = height

    def _stale(self) -> list[RoundId]:
        """Rounds to be read, newest first."""
        now = time.monotonic()
        old = [number for number, at in self._read_at.items() if now - at > _FRESH_SECONDS]
        return sorted([*old, *(number for number, dossier in self._known.items() if dossier is None)], reverse=True)

    def _gather(self, number: RoundId) -> Dossier:
        evidence = self.evidence
        dossier = evidence.dossier(number)
        self._known[number] = dossier
        settled = dossier.status in _ENDED and evidence.ledger.block_time() - (dossier.time or 0) > _SETTLED_AFTER_SECONDS
        if settled:
            self._read_at.pop(number, None)
        else:
            self._read_at[number] = time.monotonic()
        return dossier

    def _read_past(self) -> None:
        while True:
            with self._lock:
                unread = [number for number, dossier in self._known.items() if dossier is None]
                if not unread:
                    return
                try:
                    self._gather(max(unread))
                except WardroundError:
                    return  # the next page tries again, and says what is wrong
