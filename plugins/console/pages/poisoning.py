"""What each round decided about each hospital, by filter, as a page and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, StreamingResponse

from pipeline.audit.dossier import Dossier, HospitalRow
from pipeline.audit.report import REASONS
from pipeline.domain import Verdict
from plugins.console import charts, paging
from plugins.console.access import Anyone
from plugins.console.page import render
from plugins.console.state import Rounds

router = APIRouter()

_PAGE = 100
_COLUMNS = (
    *("round", "study", "status", "ended", "hospital", "verdict", "reason", "validation", "failed_expectations"),
    *("strikes", "quarantined", "correct", "tested", "transaction"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet computes what begins with one of these; hospitals choose some of the words in the table."""


@dataclass(frozen=True)
class Chosen:
    """The filter of a request; what is None filters nothing."""

    study: str | None
    hospital: str | None
    verdict: str | None
    first: int | None
    last: int | None

    @property
    def fields(self) -> dict[str, object]:
        """As the form names them."""
        return {"from" if name == "first" else "to" if name == "last" else name: value for name, value in asdict(self).items()}

    def rounds(self, dossiers: Sequence[Dossier]) -> list[Dossier]:
        """Rounds that decided something, of those that it takes."""
        return [
            dossier
            for dossier in dossiers
            if dossier.hospitals
            and self.study in (None, dossier.study)
            and (self.first is None or dossier.round >= self.first)
            and (self.last is None or dossier.round <= self.last)
        ]

    def rows(self, dossiers: Sequence[Dossier]) -> list[tuple[Dossier, HospitalRow]]:
        """A hospital's part in each of these rounds."""
        hospital, verdict = self.hospital, None if self.verdict is None else Verdict(self.verdict)
        # An enumeration's hash and value are slow: with 50,000 rows only identity is cheap enough.
        return [
            (dossier, row)
            for dossier in dossiers
            for row in dossier.hospitals
            if (hospital is None or row.name == hospital) and (verdict is None or row.verdict is verdict)
        ]


def _chosen(
    study: paging.Word = None,
    hospital: paging.Word = None,
    verdict: Annotated[Literal["accepted", "rejected", "absent"] | None, paging.OneOf, Query()] = None,
    first: Annotated[paging.Number, Query(alias="from")] = None,
    last: Annotated[paging.Number, Query(alias="to")] = None,
) -> Chosen:
    return Chosen(study, hospital, verdict, first, last)


Filter = Annotated[Chosen, Depends(_chosen)]


@router.get("/poisoning")
def poisoning(request: Request, who: Anyone, index: Rounds, chosen: Filter, page: paging.PageNumber = None) -> HTMLResponse:
    """Verdicts by round and hospital, the share that was rejected as a chart, and each hospital's sum."""
    known = index.all()
    dossiers = chosen.rounds(known.rounds)
    rows = chosen.rows(dossiers)
    sums = _sums(dossiers, chosen.hospital)
    parts = [_part(dossier, chosen.hospital) for dossier in reversed(dossiers)]
    whose = f" of {chosen.hospital}" if chosen.hospital else ""
    return render(
        request,
        "poisoning",
        who,
        known=known,
        chosen=chosen,
        hospitals=sorted({row.name for dossier in known.rounds for row in dossier.hospitals}),
        verdicts=tuple(Verdict),
        rows=paging.page(rows, page, _PAGE, chosen.fields),
        download=paging.query(chosen.fields) if any(chosen.fields.values()) else "",
        chart=charts.shares("rejected", f"Updates{whose} rejected, of those that took part, per round", parts) if parts else None,
        sums=sums,
        reasons=REASONS,
    )


@router.get("/poisoning.csv")
def poisoning_csv(who: Anyone, index: Rounds, chosen: Filter) -> StreamingResponse:
    """The same rows as a file for a spreadsheet."""
    rows = chosen.rows(chosen.rounds(index.all().rounds))
    headers = {"Content-Disposition": 'attachment; filename="wardround-verdicts.csv"'}
    return StreamingResponse(_csv(rows), media_type="text/csv; charset=utf-8", headers=headers)


@dataclass(frozen=True)
class Sum:
    """A hospital's verdicts over the rounds shown."""

    hospital: str
    accepted: int
    rejected: int
    absent: int
    quarantined: bool
    """In the newest of these rounds that it is a member of."""

    @property
    def ratio(self) -> float | None:
        """Rejected, of the rounds in which it took part."""
        took_part = self.accepted + self.rejected
        return self.rejected / took_part if took_part else None


def _sums(dossiers: Sequence[Dossier], hospital: str | None) -> list[Sum]:
    counts: dict[str, list[int]] = {}
    newest: dict[str, tuple[Dossier, HospitalRow]] = {}
    for dossier in dossiers:
        for row in dossier.hospitals:
            found = counts.get(row.name)
            if found is None:
                found, newest[row.name] = counts.setdefault(row.name, [0, 0, 0]), (dossier, row)
            found[0 if row.verdict is Verdict.ACCEPTED else 1 if row.verdict is Verdict.REJECTED else 2] += 1
    names = sorted(counts) if hospital is None else [name for name in counts if name == hospital]
    return [Sum(name, counts[name][0], counts[name][1], counts[name][2], _quarantined(*newest[name])) for name in names]


def _part(dossier: Dossier, hospital: str | None) -> tuple[int, int, int]:
    """Round, how many it rejected, how many took part."""
    rejected = accepted = 0
    for row in dossier.hospitals:
        if hospital is None or row.name == hospital:
            rejected += row.verdict is Verdict.REJECTED
            accepted += row.verdict is Verdict.ACCEPTED
    return int(dossier.round), rejected, rejected + accepted


def _quarantined(dossier: Dossier, row: HospitalRow) -> bool:
    return dossier.record is not None and row.name in dossier.record.quarantined


def _csv(rows: Sequence[tuple[Dossier, HospitalRow]]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for dossier, parts in groupby(rows, key=_dossier):
        ended = datetime.fromtimestamp(dossier.time, UTC).isoformat() if dossier.time else ""
        strikes = dossier.record.strikes if dossier.record else {}
        of_round = (dossier.round, _harmless(dossier.study), dossier.status.value, ended)
        for _, row in parts:
            reason = REASONS.get(row.reason, row.reason) if row.reason else ""
            validation = "" if row.validated is None else ("passed" if row.validated else "failed")
            words = map(_harmless, (row.name, row.verdict.value, reason, validation, "; ".join(row.failed)))
            quarantined = "yes" if _quarantined(dossier, row) else "no"
            writer.writerow((*of_round, *words, len(strikes.get(row.name, ())), quarantined, row.correct, row.tested, dossier.tx))
        if buffer.tell() > 1 << 16:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _dossier(part: tuple[Dossier, HospitalRow]) -> Dossier:
    return part[0]


def _harmless(cell: object) -> object:
    """A text that no spreadsheet takes for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
