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

from pipeline.domain import Verdict
from pipeline.report.render import REASONS
from pipeline.report.round_view import HospitalRow, RoundView
from plugins.console import charts, paging
from plugins.console.access import Anyone
from plugins.console.dependencies import Rounds
from plugins.console.page import Link, render

router = APIRouter()
LINK = Link(40, "Poisoning", "/poisoning")

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
        return {
            "from" if name == "first" else "to" if name == "last" else name: value
            for name, value in asdict(self).items()
        }

    def rounds(self, views: Sequence[RoundView]) -> list[RoundView]:
        """Rounds that decided something, of those that it takes."""
        return [
            view
            for view in views
            if view.hospitals
            and self.study in (None, view.study)
            and (self.first is None or view.round >= self.first)
            and (self.last is None or view.round <= self.last)
        ]

    def rows(self, views: Sequence[RoundView]) -> list[tuple[RoundView, HospitalRow]]:
        """A hospital's part in each of these rounds."""
        hospital = self.hospital
        verdict = None if self.verdict is None else Verdict(self.verdict)
        # An enumeration's hash and value are slow: with 50,000 rows only identity is cheap enough.
        return [
            (view, row)
            for view in views
            for row in view.hospitals
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
def poisoning(
    request: Request, who: Anyone, index: Rounds, chosen: Filter, page: paging.PageNumber = None
) -> HTMLResponse:
    """Verdicts by round and hospital, the share that was rejected as a chart, and each hospital's sum."""
    cached = index.all()
    views = chosen.rounds(cached.rounds)
    rows = chosen.rows(views)
    sums = _sums(views, chosen.hospital)
    parts = [_part(view, chosen.hospital) for view in reversed(views)]
    whose = f" of {chosen.hospital}" if chosen.hospital else ""
    return render(
        request,
        "poisoning",
        who,
        cached=cached,
        chosen=chosen,
        hospitals=sorted({row.name for view in cached.rounds for row in view.hospitals}),
        verdicts=tuple(Verdict),
        rows=paging.page(rows, page, _PAGE, chosen.fields),
        download=paging.query(chosen.fields) if any(chosen.fields.values()) else "",
        chart=charts.shares("rejected", f"Updates{whose} rejected, of those that took part, per round", parts)
        if parts
        else None,
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


def _sums(views: Sequence[RoundView], hospital: str | None) -> list[Sum]:
    counts: dict[str, list[int]] = {}
    newest: dict[str, tuple[RoundView, HospitalRow]] = {}
    for view in views:
        for row in view.hospitals:
            tally = counts.get(row.name)
            if tally is None:
                tally = counts.setdefault(row.name, [0, 0, 0])
                newest[row.name] = (view, row)
            tally[0 if row.verdict is Verdict.ACCEPTED else 1 if row.verdict is Verdict.REJECTED else 2] += 1
    names = sorted(counts) if hospital is None else [name for name in counts if name == hospital]
    return [Sum(name, counts[name][0], counts[name][1], counts[name][2], _quarantined(*newest[name])) for name in names]


def _part(view: RoundView, hospital: str | None) -> tuple[int, int, int]:
    """Round, how many it rejected, how many took part."""
    rejected = accepted = 0
    for row in view.hospitals:
        if hospital is None or row.name == hospital:
            rejected += row.verdict is Verdict.REJECTED
            accepted += row.verdict is Verdict.ACCEPTED
    return int(view.round), rejected, rejected + accepted


def _quarantined(view: RoundView, row: HospitalRow) -> bool:
    return view.record is not None and row.name in view.record.quarantined


def _csv(rows: Sequence[tuple[RoundView, HospitalRow]]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for view, parts in groupby(rows, key=_view):
        ended = datetime.fromtimestamp(view.time, UTC).isoformat() if view.time else ""
        strikes = view.record.strikes if view.record else {}
        of_round = (view.round, _harmless(view.study), view.status.value, ended)
        for _, row in parts:
            reason = REASONS.get(row.reason, row.reason) if row.reason else ""
            validation = "" if row.validated is None else ("passed" if row.validated else "failed")
            words = map(_harmless, (row.name, row.verdict.value, reason, validation, "; ".join(row.failed)))
            quarantined = "yes" if _quarantined(view, row) else "no"
            writer.writerow(
                (*of_round, *words, len(strikes.get(row.name, ())), quarantined, row.correct, row.tested, view.tx)
            )
        if buffer.tell() > 1 << 16:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _view(part: tuple[RoundView, HospitalRow]) -> RoundView:
    return part[0]


def _harmless(cell: object) -> object:
    """A text that no spreadsheet takes for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
