"""What the provider hears of each site: Airflow's own table of Edge workers, with what each worker says of itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.airflow import postgres
from pipeline.errors import EvidenceRejected, Unavailable
from pipeline.evidence.canonical import read_json
from pipeline.host.secret import Secret
from pipeline.joining.roster import known_cards
from pipeline.site import worker_report
from pipeline.site.settings import Settings
from pipeline.site.site import PROVIDER, SiteRole

SILENT_SECONDS = 120
"""A worker says every five seconds that it is there; this is a network's hiccup and more."""

_LONGEST = 60
_LATEST = 1e11
"""Seconds since 1970, a thousand years from now."""
_GONE = ("offline", "unknown", "offline maintenance")
_ASKED = "select worker_name, state, last_update, jobs_active, sysinfo from edge_worker"


@dataclass(frozen=True)
class SiteHeard:
    """One site; None where its worker never said so."""

    queue: str
    state: str
    """Airflow's word for its worker; `never` where it was never let in."""
    heard: float | None
    """Seconds since 1970, by the provider's clock."""
    jobs: int
    version: str | None
    engine: str | None
    clock: float | None
    """Seconds that its clock is ahead of the provider's, the way between them included."""

    def silent(self, now: float) -> bool:
        """Whether it was there once, and is not now."""
        return self.heard is not None and (self.state in _GONE or now - self.heard > SILENT_SECONDS)

    def last(self, now: float) -> str:
        """How long ago it was heard, for people."""
        if self.heard is None:
            return "never"
        seconds = max(0, int(now - self.heard))
        return f"{seconds} s ago" if seconds < 300 else f"{seconds // 60} min ago"


def read(queue: str, row: Mapping[str, Any] | None) -> SiteHeard:
    """A site by its row of the table."""
    if row is None:
        return SiteHeard(queue, "never", None, 0, None, None, None)
    said = row["sysinfo"] if isinstance(row["sysinfo"], dict) else {}
    heard = row["last_update"].timestamp() if isinstance(row["last_update"], datetime) else None
    own_time = _time(said.get(worker_report.TIME))
    differs = own_time - heard if own_time is not None and heard is not None else None
    return SiteHeard(
        queue=queue,
        state=_word(row["state"]) or "unknown",
        heard=heard,
        jobs=int(row["jobs_active"] or 0),
        version=_word(said.get(worker_report.VERSION)),
        engine=_word(said.get(worker_report.ENGINE)),
        clock=None if differs is None else round(differs, 1),
    )


def _time(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _LATEST:
        return None
    return float(value)


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and value.isprintable() and len(value) <= _LONGEST else None


def all_sites(settings: Settings) -> list[SiteHeard]:
    """Every site of the consortium that works, the provider's own first; raises Unavailable without the database."""
    cards = known_cards(settings).values()
    queues = [PROVIDER, *(card.site.queue for card in cards if card.site.role is not SiteRole.AUDITOR)]
    return of_queues(queues, settings)


def of_queues(queues: Iterable[str], settings: Settings) -> list[SiteHeard]:
    """The sites of these queues; what a worker says of itself is read as a stranger's."""
    rows = _rows(settings)
    return [read(queue, rows.get(queue)) for queue in queues]


def _rows(settings: Settings) -> Mapping[str, Mapping[str, Any]]:
    import sqlalchemy
    from sqlalchemy.exc import SQLAlchemyError

    try:
        engine = sqlalchemy.create_engine(Secret.read(postgres.url_file(settings)).text())
        with engine.connect() as connection:
            rows = connection.execute(sqlalchemy.text(_ASKED)).mappings().all()
    except SQLAlchemyError as error:
        # Its text has the database's address, and so the password.
        raise Unavailable(f"Airflow's database: got {type(error).__name__}; `wardround up` starts it") from None
    return {
        str(row["worker_name"]): {**row, "sysinfo": _parsed(row["sysinfo"]), "last_update": _aware(row["last_update"])}
        for row in rows
    }


def _parsed(sysinfo: Any) -> Any:
    try:
        return read_json(sysinfo.encode()) if isinstance(sysinfo, str) else sysinfo
    except EvidenceRejected:
        return None


def _aware(last: Any) -> Any:
    return last.replace(tzinfo=UTC) if isinstance(last, datetime) and last.tzinfo is None else last
