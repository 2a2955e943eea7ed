"""A hospital's own rounds: what became of its records and its update, and the evidence of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from pipeline.airflow.accounts import Role
from pipeline.domain import Verdict
from pipeline.report.render import REASONS
from pipeline.report.round_view import HospitalRow, RoundView, said_so_far
from plugins.console import hospital_folder, paging, studies
from plugins.console.access import Hospital
from plugins.console.dependencies import Rounds
from plugins.console.page import Link, render

router = APIRouter()
LINK = Link(80, "My rounds", "/hospital", (Role.HOSPITAL,))

_PAGE = 50
_MOST_UNJUDGED = 10
"""Rounds without a model of which the page reads what the hospital said, newest first: each is a look into the store.
"""


@dataclass(frozen=True)
class OwnRound:
    """One round of a study that names the hospital."""

    view: RoundView
    row: HospitalRow | None
    """None for the older of those rounds that ended without a model."""
    judged: bool
    """Whether `row` has a verdict."""
    docs: Path | None
    """The full data docs of these records, where they lie on this machine."""


@router.get("/hospital")
def mine(request: Request, who: Hospital, index: Rounds, page: paging.PageNumber = None) -> HTMLResponse:
    """My rounds, newest first."""
    name = hospital_folder.name(who)
    home = hospital_folder.folder(index.settings, who)
    cached = index.all()
    named = studies.of_hospital(index.settings, name)
    docs = _kept(home)
    address = studies.consortium(index.settings).hospital(name)
    rounds: list[OwnRound] = []
    unjudged = 0
    for view in cached.rounds:
        row = next((entry for entry in view.hospitals if entry.name == name), None)
        if row is not None:
            rounds.append(OwnRound(view, row, True, _docs(docs, view, row)))
        elif not view.hospitals and view.study in named:
            if unjudged < _MOST_UNJUDGED:
                row = said_so_far(view, name, address, index.observer.store)
            unjudged += 1
            rounds.append(OwnRound(view, row, False, _docs(docs, view, row)))
    judged = [own_round.row.verdict for own_round in rounds if own_round.judged and own_round.row]
    return render(
        request,
        "hospital",
        who,
        name=name,
        rounds=rounds,
        rows=paging.page(rounds, page, _PAGE),
        accepted=judged.count(Verdict.ACCEPTED),
        judged=len(judged),
        docs=docs,
        folder=home / "docs" if home else None,
        here=home is not None,
        studies=sorted(named),
        unread=cached.unread,
        reasons=REASONS,
    )


def _docs(kept: Sequence[Path], view: RoundView, row: HospitalRow | None) -> Path | None:
    """Of the files that lie there the one for these records: no path is made of what a statement says."""
    wanted = f"{view.study}-{row.dataset_version}.html" if row and row.dataset_version else None
    return next((file for file in kept if file.name == wanted), None)


def _kept(home: Path | None) -> Sequence[Path]:
    return sorted((home / "docs").glob("*.html")) if home else ()
