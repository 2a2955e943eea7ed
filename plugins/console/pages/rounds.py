"""The list of rounds, and one round from its opening to finality."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse

from pipeline.audit.report import REASONS, TRUST
from pipeline.domain import RoundId
from plugins.console.access import Anyone
from plugins.console.page import render
from plugins.console.state import Rounds

router = APIRouter()

RoundNumber = Annotated[int, Path(ge=1, lt=2**63, description="Number of the round on the ledger.")]


@router.get("/rounds")
def listed(request: Request, who: Anyone, index: Rounds) -> HTMLResponse:
    """Every round of the ledger, newest first."""
    return render(request, "rounds", who, known=index.all())


@router.get("/rounds/{number}")
def one(request: Request, who: Anyone, index: Rounds, number: RoundNumber) -> HTMLResponse:
    """One round: who took part, what was decided, where it stands on the chain."""
    dossier = index.get(RoundId(number))
    trust = TRUST.get(dossier.record.protocol, "") if dossier.record else ""
    return render(request, "round", who, dossier=dossier, reasons=REASONS, trust=trust)
