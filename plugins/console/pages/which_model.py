"""Which round a model file is of, by its digest alone: the file stays in the browser."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from pydantic import Field

from pipeline.domain import RoundId, RoundStatus, Sha256
from pipeline.report.round_view import RoundView
from plugins.console import paging
from plugins.console.access import Anyone
from plugins.console.dependencies import Rounds
from plugins.console.page import Link, render

router = APIRouter()
LINK = Link(60, "Which model?", "/which-model")

Digest = Annotated[Annotated[str, Field(max_length=200)] | None, paging.OneOf, Query()]


@router.get("/which-model")
def which_model(request: Request, who: Anyone, index: Rounds, sha256: Digest = None) -> HTMLResponse:
    """Rounds that ended with the model of this digest, and studies that began with it."""
    wanted = (sha256 or "").strip().lower().removeprefix("sha256:")
    whole = len(wanted) == 64 and set(wanted) <= set("0123456789abcdef")
    cached = index.all() if whole else None
    made: list[RoundView] = []
    began: dict[str | None, RoundId] = {}
    if cached:
        # The view found the round, the ledger decides: it vouches for what a majority of the nodes signed.
        same = [view for view in cached.rounds if view.model == wanted]
        made = [view for view in same if index.observer.ledger.verify_model(view.round, Sha256(wanted))]
        first = {view.study: view for view in cached.rounds}
        began = {study: view.round for study, view in first.items() if view.previous_model == wanted}
    current = {view.round for view in made if cached and view is _newest(cached.of(view.study))}
    return render(
        request,
        "which_model",
        who,
        asked=sha256,
        wanted=wanted,
        whole=whole,
        made=made,
        began=began,
        current=current,
        cached=cached,
    )


def _newest(rounds: list[RoundView]) -> RoundView | None:
    return next((view for view in rounds if view.status is RoundStatus.FINALISED), None)
