"""How well the global model of a study does, round by round."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from pipeline.errors import InvalidStudy
from pipeline.site.settings import Settings
from pipeline.study.study import Study
from plugins.console import charts, paging
from plugins.console.access import Anyone
from plugins.console.dependencies import Rounds
from plugins.console.page import Link, render

router = APIRouter()
LINK = Link(30, "Accuracy", "/accuracy")

_PAGE = 50


@router.get("/accuracy")
def accuracy(
    request: Request, who: Anyone, index: Rounds, study: paging.Word = None, page: paging.PageNumber = None
) -> HTMLResponse:
    """Chart and table of one study; without a name the one whose round was opened last."""
    cached = index.all()
    names = cached.studies
    chosen = study if study in names else next((view.study for view in cached.rounds if view.study), None)
    rows = [view for view in cached.of(chosen) if view.tested] if chosen else []
    goal = _goal(index.settings, chosen) if chosen else None
    chart = None
    if rows and chosen:
        points = [(int(row.round), row.correct / row.tested) for row in reversed(rows)]
        title = f"Accuracy of {chosen} per round, on all hospitals' test records"
        chart = charts.history("history", title, points, goal)
    return render(
        request,
        "accuracy",
        who,
        cached=cached,
        studies=names,
        chosen=chosen,
        unknown=study if study and study != chosen else None,
        chart=chart,
        goal=goal,
        rows=paging.page(rows, page, _PAGE, {"study": chosen}),
    )


def _goal(settings: Settings, study: str) -> float | None:
    """The accuracy at which the study is done, where its file lies here and its target is one."""
    try:
        course = Study.load(settings.studies / f"{study}.yaml").course
    except InvalidStudy:
        return None
    target = course.target if course else None
    return float(target.value) if target and target.measure == "accuracy" else None
