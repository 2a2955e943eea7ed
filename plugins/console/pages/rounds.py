"""The list of rounds, and one round from its opening to finality."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse

from pipeline.domain import RoundId, RoundStatus
from pipeline.report.render import ENDS, REASONS, TRUST
from plugins.console import charts, paging
from plugins.console.access import Anyone
from plugins.console.dependencies import Rounds
from plugins.console.page import Link, render

router = APIRouter()
LINK = Link(20, "Rounds", "/rounds")

RoundNumber = Annotated[int, Path(ge=1, lt=2**63, description="Number of the round on the ledger.")]

_PAGE = 50
_STATUSES = ("open", "committed", "finalised", "aborted")


@router.get("/rounds")
def listed(
    request: Request,
    who: Anyone,
    index: Rounds,
    study: paging.Word = None,
    status: Annotated[Literal["open", "committed", "finalised", "aborted"] | None, paging.OneOf, Query()] = None,
    page: paging.PageNumber = None,
) -> HTMLResponse:
    """Every round of the ledger, newest first."""
    cached = index.all()
    views = [view for view in cached.of(study) if status is None or view.status is RoundStatus(status)]
    chosen = {"study": study, "status": status}
    return render(
        request,
        "rounds",
        who,
        cached=cached,
        rows=paging.page(views, page, _PAGE, chosen),
        chosen=chosen,
        statuses=_STATUSES,
    )


@router.get("/rounds/{number}")
def one(request: Request, who: Anyone, index: Rounds, number: RoundNumber) -> HTMLResponse:
    """One round: who took part, what was decided, where it stands on the chain."""
    view = index.get(RoundId(number))
    trust = TRUST.get(view.record.protocol, "") if view.record else ""
    measures = view.measures
    return render(
        request,
        "round",
        who,
        view=view,
        measures=measures,
        drawn=charts.of_scores(measures) if measures else [],
        groups=charts.of_groups(view.subgroups) if view.subgroups and view.subgroups.drawn else [],
        reasons=REASONS,
        ends=ENDS,
        trust=trust,
    )
