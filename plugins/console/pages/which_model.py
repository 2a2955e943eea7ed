"""Which round a model file is of, by its digest alone: the file stays in the browser."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from pydantic import Field

from pipeline.audit.dossier import Dossier
from pipeline.domain import RoundId, RoundStatus, Sha256
from plugins.console import paging
from plugins.console.access import Anyone
from plugins.console.page import render
from plugins.console.state import Rounds

router = APIRouter()

Digest = Annotated[Annotated[str, Field(max_length=200)] | None, paging.OneOf, Query()]


@router.get("/which-model")
def which_model(request: Request, who: Anyone, index: Rounds, sha256: Digest = None) -> HTMLResponse:
    """Rounds that ended with the model of this digest, and studies that began with it."""
    wanted = (sha256 or "").strip().lower().removeprefix("sha256:")
    whole = len(wanted) == 64 and set(wanted) <= set("0123456789abcdef")
    known = index.all() if whole else None
    made: list[Dossier] = []
    began: dict[str | None, RoundId] = {}
    if known:
        # The dossier found the round, the ledger decides: it vouches for what a majority of the nodes signed.
        same = [dossier for dossier in known.rounds if dossier.model == wanted]
        made = [dossier for dossier in same if index.evidence.ledger.verify_model(dossier.round, Sha256(wanted))]
        first = {dossier.study: dossier for dossier in known.rounds}
        began = {study: dossier.round for study, dossier in first.items() if dossier.previous_model == wanted}
    current = {dossier.round for dossier in made if known and dossier is _newest(known.of(dossier.study))}
    return render(
        request, "which_model", who, asked=sha256, wanted=wanted, whole=whole, made=made, began=began, current=current, known=known
    )


def _newest(rounds: list[Dossier]) -> Dossier | None:
    return next((dossier for dossier in rounds if dossier.status is RoundStatus.FINALISED), None)
