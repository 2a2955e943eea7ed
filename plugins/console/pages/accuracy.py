"""How well the global model of a study does, round by round."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from pipeline.errors import InvalidStudy
from pipeline.settings import Settings
from pipeline.study import Study
from plugins.console import charts, paging
from plugins.console.access import Anyone
from plugins.console.page import render
from plugins.console.state import Rounds

router = APIRouter()

_PAGE = 50


@router.get("/accuracy")
def accuracy(request: Request, who: Anyone, index: Rounds, study: paging.Word = None, page: paging.PageNumber = None) -> HTMLResponse:
    """Chart and table of one study; without a name the one whose round was opened last."""
    known = index.all()
    names = known.studies
    chosen = study if study in names else next((dossier.study for dossier in known.rounds if dossier.study), None)
    rows = [dossier for dossier in known.of(chosen) if dossier.tested] if chosen else []
    goal = _goal(index.settings, chosen) if chosen else None
    chart = None
    if rows and chosen:
        points = [(int(row.round), row.correct / row.tested) for row in reversed(rows)]
        chart = charts.course("course", f"Accuracy of {chosen} per round, on all hospitals' test records", points, goal)
    return render(
        request,
        "accuracy",
        who,
        known=known,
        studies=names,
        chosen=chosen,
        unknown=study if study and study != chosen else None,
        chart=chart,
        goal=goal,
        rows=paging.page(rows, page, _PAGE, {"study": chosen}),
    )


def _goal(settings: Settings, study: str) -> float | None:
    """The accuracy that the study's file names as its goal, where that file lies here."""
    try:
        return Study.load(settings.studies / f"{study}.yaml").target_accuracy
    except InvalidStudy:
        return None
