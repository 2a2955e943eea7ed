"""The first page: the newest rounds and whether the services answer."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from pipeline.installation import Installation
from pipeline.setup import health
from plugins.console.access import Anyone
from plugins.console.page import render
from plugins.console.state import Rounds

router = APIRouter()


@router.get("/")
def overview(request: Request, who: Anyone, index: Rounds) -> HTMLResponse:
    """Where the consortium stands."""
    installation = Installation.load(index.settings.installation)
    services = {
        "object store": health.store(installation),
        "development chain" if installation.development_chain else "chain": health.chain(
            installation, health.stored_chain_id(index.settings)
        ),
    }
    return render(request, "overview", who, known=index.all(), services=services)
