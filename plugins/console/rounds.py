"""Every round's dossier at hand: settled ones are kept, the few that still change are gathered anew, a long past is read meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock, Thread

from pipeline.audit.dossier import Dossier
from pipeline.chain.ledger import study_id
from pipeline.consortium import Consortium
from pipeline.domain import RoundId, RoundStatus
from pipeline.errors import EvidenceRejected, Unavailable, WardroundError
from pipeline.roles.evidence import Evidence
from pipeline.roles.standing import Standing, standing
from pipeline.settings import Settings
from plugins.console import study_files

_SETTLED_AFTER_SECONDS = 900
"""Confirmations of a round and its workers' clocks arrive within this time of the chain after its end."""
_FRESH_SECONDS = 2.0
_AGEING = 10
"""A round that ended n seconds ago is read again every n / _AGEING seconds until it is settled."""
_AT_ONCE = 8
"""Rounds that a page waits for; more are read in the background, newest first."""
_ENDED = (RoundStatus.FINALISED, RoundStatus.ABORTED)


class NoSuchRound(EvidenceRejected):
    """The ledger has no round of this number."""


@dataclass(frozen=True)
class Known:
    """What is known of the rounds, newest first."""

    rounds: Sequence[Dossier]
    unread: int
    """Older rounds that are still being read."""
    broken: Mapping[RoundId, str] = field(default_factory=dict)
    """Rounds whose evidence does not hold, and why: they have no dossier, and spoil no other's page."""

    @property
    def studies(self) -> list[str]:
        """Names of the studies that have rounds."""
        return sorted({dossier.study for dossier in self.rounds if dossier.study})

    def of(self, study: str | None) -> list[Dossier]:
        """Rounds of one study, or all."""
        return [dossier for dossier in self.rounds if study in (None, dossier.study)]


@dataclass(frozen=True)
class _Reading:
    """What a round's last reading gave: a dossier or what is wrong, and when it is out of date (on this machine's clock)."""

    found: Dossier | EvidenceRejected
    until: float
    """Infinite once settled."""

    @property
    def ended(self) -> bool:
        """Whether only late confirmations can change it."""
        return not isinstance(self.found, Dossier) or self.found.status in _ENDED


@dataclass
class RoundIndex:
    """Dossiers by round; every method raises Unavailable when chain or store do not answer."""

    _settings: Settings | None
    """None for this installation's own, which `wardround up` may change while the console runs."""
    _evidence: Evidence | None = None
    _height: int = -1
    _known: dict[RoundId, _Reading | None] = field(default_factory=dict)
    """In the order of opening; None while a round was not read yet."""
    _lock: Lock = field(default_factory=Lock)
    """Of `_known`; never held while ledger or store are asked."""
    _turn: Lock = field(default_factory=Lock)
    """Pages look for new rounds one after the other, so that none is read twice; the reader in the background needs no turn."""
    _reader: Thread | None = None
    _trouble: tuple[float, Unavailable] | None = None
    """Until when (on this machine's clock) a service is taken to be down, and what it was."""
    _standing: tuple[int, Standing] | None = None
    """With the height at which it was read."""

    @property
    def settings(self) -> Settings:
        """Where things lie now."""
        return self._settings or Settings.load()

    @property
    def evidence(self) -> Evidence:
        """Ledger and store, as the auditor of this installation reads them."""
        if self._evidence is None:
            self._evidence = Evidence.open(self.settings)
        return self._evidence

    def all(self) -> Known:
        """All rounds, as far as they were read."""
        with self._asking():
            self._look_for_new()
            due = self._due()
            # A page waits for what is new or still running; a confirmation that comes late shows on the next one.
            urgent = [number for number in due if (known := self._known.get(number)) is None or not known.ended][:_AT_ONCE]
            for number in urgent:
                self._read(number)
            if len(due) > len(urgent) and (self._reader is None or not self._reader.is_alive()):
                self._reader = Thread(target=self._read_meanwhile, daemon=True)
                self._reader.start()
        with self._lock:
            readings = dict(self._known)
        found = [reading.found for reading in readings.values() if reading and isinstance(reading.found, Dossier)]
        broken = {number: str(reading.found) for number, reading in readings.items() if reading and not isinstance(reading.found, Dossier)}
        return Known(found[::-1], len(readings) - len(found) - len(broken), broken)

    def get(self, number: RoundId) -> Dossier:
        """One round; raises NoSuchRound, or EvidenceRejected when what is stored of it does not hold."""
        self.check(number)
        known = self._known.get(number)
        if known is None or known.until < time.monotonic():
            with self._asking():
                known = self._read(number)
        if not isinstance(known.found, Dossier):
            raise EvidenceRejected(str(known.found)) from known.found
        return known.found

    def check(self, number: RoundId) -> None:
        """Raises NoSuchRound unless the ledger has this round, whatever its evidence is worth."""
        if number not in self._known:
            with self._asking():
                self._look_for_new()
            if number not in self._known:
                raise NoSuchRound(f"Round {number}: the ledger has none of that number.")

    def standing(self, known: Known) -> Standing:
        """Where hospitals and nodes stand; read again when the chain has grown."""
        height = self.evidence.ledger.height()
        held = self._standing
        if held is None or held[0] != height or known.unread:
            members, files = Consortium.load(self.settings.consortium), study_files.readable(self.settings)
            held = self._standing = (height, standing(members, self.evidence.ledger, files, known.rounds))
        return held[1]

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """One page at a time; what did not answer a moment ago is not waited for by the next page too."""
        with self._turn:
            if self._trouble and time.monotonic() < self._trouble[0]:
                raise Unavailable(str(self._trouble[1])) from self._trouble[1]
            try:
                yield
            except Unavailable as error:
                self._trouble = time.monotonic() + _FRESH_SECONDS, error
                raise

    def _look_for_new(self) -> None:
        ledger = self.evidence.ledger
        height = ledger.height()
        if height == self._height:
            return
        first = self._height + 1 if height > self._height else 0  # a development chain that was restored starts anew
        opened = ledger.opened(first)
        self.evidence.names.update({study_id(file.stem): file.stem for file in self.settings.studies.glob("*.yaml")})
        with self._lock:
            if not first:
                self._known.clear()
            for number in opened:
                self._known.setdefault(number, None)
        self._height = height

    def _due(self) -> list[RoundId]:
        """Rounds to be read, newest first."""
        now = time.monotonic()
        with self._lock:
            return [number for number, known in reversed(self._known.items()) if known is None or known.until < now]

    def _read(self, number: RoundId) -> _Reading:
        evidence, now = self.evidence, time.monotonic()
        try:
            dossier = evidence.dossier(number)
        except EvidenceRejected as error:
            reading = _Reading(error, now + _SETTLED_AFTER_SECONDS / _AGEING)
        else:
            age = evidence.ledger.block_time() - dossier.time if dossier.time and dossier.status in _ENDED else 0
            reading = _Reading(dossier, float("inf") if age > _SETTLED_AFTER_SECONDS else now + max(_FRESH_SECONDS, age / _AGEING))
        with self._lock:
            if number in self._known:
                self._known[number] = reading
        return reading

    def _read_meanwhile(self) -> None:
        for number in self._due():
            try:
                self._read(number)
            except WardroundError:
                return  # the next page tries again, and says what is wrong
