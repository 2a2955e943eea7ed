"""The log of every action, for those who watch over the consortium."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from pipeline.airflow.accounts import Role
from plugins.console.access import Watcher
from plugins.console.dependencies import People
from plugins.console.page import Link, render

router = APIRouter()
LINK = Link(140, "Log", "/log", (Role.PROVIDER, Role.AUDITOR))

SIZE = 100


@router.get("/log")
def log(
    request: Request, who: Watcher, registry: People, page: Annotated[int, Query(ge=1, le=10**9)] = 1
) -> HTMLResponse:
    """Newest first."""
    actions, total = registry.actions(page, SIZE)
    return render(request, "log", who, actions=actions, total=total, number=page, last=max(1, -(-total // SIZE)))
