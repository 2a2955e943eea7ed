"""Every round's view at hand.

Settled ones are kept, the few that still change are gathered anew, a long past is read meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock, Thread

from pipeline.chain.ledger import study_id
from pipeline.domain import RoundId, RoundStatus
from pipeline.errors import EvidenceRejected, Unavailable, WardroundError
from pipeline.report.round_view import RoundView
from pipeline.site.consortium import Consortium
from pipeline.site.settings import Settings
from pipeline.study.study_files import study_names
from pipeline.views.member_status import ConsortiumStatus, member_status
from pipeline.views.observer import Observer
from plugins.console import studies

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
class CachedRounds:
    """The rounds that the cache has read, newest first."""

    rounds: Sequence[RoundView]
    unread: int
    """Older rounds that are still being read."""
    broken: Mapping[RoundId, str] = field(default_factory=dict)
    """Rounds whose evidence does not hold, and why: they have no view, and spoil no other's page."""

    @property
    def studies(self) -> list[str]:
        """Names of the studies that have rounds."""
        return sorted({view.study for view in self.rounds if view.study})

    def of(self, study: str | None) -> list[RoundView]:
        """Rounds of one study, or all."""
        return [view for view in self.rounds if study in (None, view.study)]


@dataclass(frozen=True)
class _Reading:
    """What a round's last reading gave, and when that is out of date."""

    outcome: RoundView | EvidenceRejected
    """The round's view, or what is wrong with its evidence."""
    until: float
    """On this machine's clock; infinite once settled."""

    @property
    def ended(self) -> bool:
        """Whether only late confirmations can change it."""
        return not isinstance(self.outcome, RoundView) or self.outcome.status in _ENDED


@dataclass
class RoundCache:
    """Views by round; every method raises Unavailable when chain or store do not answer."""

    _settings: Settings | None
    """None for this installation's own, which `wardround up` may change while the console runs."""
    _observer: Observer | None = None
    _height: int = -1
    _readings: dict[RoundId, _Reading | None] = field(default_factory=dict)
    """In the order of opening; None while a round was not read yet."""
    _lock: Lock = field(default_factory=Lock)
    """Of `_readings`; never held while ledger or store are asked."""
    _turn: Lock = field(default_factory=Lock)
    """Pages look for new rounds one after the other, so that none is read twice; the reader in the background needs no
    turn."""
    _reader: Thread | None = None
    _trouble: tuple[float, Unavailable] | None = None
    """Until when (on this machine's clock) a service is taken to be down, and what it was."""
    _member_status: tuple[int, ConsortiumStatus] | None = None
    """With the height at which it was read."""

    @property
    def settings(self) -> Settings:
        """Where things lie now."""
        return self._settings or Settings.load()

    @property
    def observer(self) -> Observer:
        """Ledger and store, as the auditor of this installation reads them."""
        if self._observer is None:
            self._observer = Observer.open(self.settings)
        return self._observer

    def all(self) -> CachedRounds:
        """All rounds, as far as they were read."""
        with self._asking():
            self._look_for_new()
            due = self._due()
            # A page waits for what is new or still running; a confirmation that comes late shows on the next one.
            urgent = [number for number in due if (reading := self._readings.get(number)) is None or not reading.ended][
                :_AT_ONCE
            ]
            for number in urgent:
                self._read(number)
            if len(due) > len(urgent) and (self._reader is None or not self._reader.is_alive()):
                self._reader = Thread(target=self._read_meanwhile, daemon=True)
                self._reader.start()
        with self._lock:
            readings = dict(self._readings)
        views = [reading.outcome for reading in readings.values() if reading and isinstance(reading.outcome, RoundView)]
        broken = {
            number: str(reading.outcome)
            for number, reading in readings.items()
            if reading and not isinstance(reading.outcome, RoundView)
        }
        return CachedRounds(views[::-1], len(readings) - len(views) - len(broken), broken)

    def get(self, number: RoundId) -> RoundView:
        """One round; raises NoSuchRound, or EvidenceRejected when what is stored of it does not hold."""
        self.check(number)
        reading = self._readings.get(number)
        if reading is None or reading.until < time.monotonic():
            with self._asking():
                reading = self._read(number)
        if not isinstance(reading.outcome, RoundView):
            raise EvidenceRejected(str(reading.outcome)) from reading.outcome
        return reading.outcome

    def check(self, number: RoundId) -> None:
        """Raises NoSuchRound unless the ledger has this round, whatever its evidence is worth."""
        if number not in self._readings:
            with self._asking():
                self._look_for_new()
            if number not in self._readings:
                raise NoSuchRound(f"Round {number}: the ledger has none of that number.")

    def member_status(self, cached: CachedRounds) -> ConsortiumStatus:
        """Where hospitals and nodes stand; read again when the chain has grown."""
        height = self.observer.ledger.height()
        held = self._member_status
        if held is None or held[0] != height or cached.unread:
            members = Consortium.load(self.settings.consortium)
            readable = studies.readable(self.settings)
            held = self._member_status = (height, member_status(members, self.observer.ledger, readable, cached.rounds))
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
        ledger = self.observer.ledger
        height = ledger.height()
        if height == self._height:
            return
        first = self._height + 1 if height > self._height else 0  # a development chain that was restored starts anew
        opened = ledger.opened(first)
        self.observer.names.update({study_id(name): name for name in study_names(self.settings.studies)})
        with self._lock:
            if not first:
                self._readings.clear()
            for number in opened:
                self._readings.setdefault(number, None)
        self._height = height

    def _due(self) -> list[RoundId]:
        """Rounds to be read, newest first."""
        now = time.monotonic()
        with self._lock:
            return [
                number for number, reading in reversed(self._readings.items()) if reading is None or reading.until < now
            ]

    def _read(self, number: RoundId) -> _Reading:
        observer = self.observer
        now = time.monotonic()
        try:
            view = observer.view(number)
        except EvidenceRejected as error:
            reading = _Reading(error, now + _SETTLED_AFTER_SECONDS / _AGEING)
        else:
            age = observer.ledger.block_time() - view.time if view.time and view.status in _ENDED else 0
            if age > _SETTLED_AFTER_SECONDS and not _may_be_concluded(view, observer):
                reading = _Reading(view, float("inf"))
            else:
                age = min(age, _SETTLED_AFTER_SECONDS)
                reading = _Reading(view, now + max(_FRESH_SECONDS, age / _AGEING))
        with self._lock:
            if number in self._readings:
                self._readings[number] = reading
        return reading

    def _read_meanwhile(self) -> None:
        for number in self._due():
            try:
                self._read(number)
            except WardroundError:
                return  # the next page tries again, and says what is wrong


def _may_be_concluded(view: RoundView, observer: Observer) -> bool:
    """Whether the round is its study's last one, which its nodes may still conclude, however late."""
    if view.concluded is not None or view.study is None or view.record is None or view.record.course is None:
        return False
    return observer.ledger.study(study_id(view.study)).current_round == view.round
