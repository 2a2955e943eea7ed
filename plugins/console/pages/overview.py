"""The first page: whether the services answer, where members stand, the newest rounds."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from pipeline.errors import WardroundError
from pipeline.services import health, services
from pipeline.site.installation import Installation
from plugins.console.access import Anyone
from plugins.console.dependencies import Rounds
from plugins.console.page import Link, render

router = APIRouter()
LINK = Link(10, "Overview", "/")

_TITLES = {
    services.STORE: "Object store",
    services.CHAIN: "Chain",
    **dict(
        zip(
            services.AIRFLOW,
            ("Airflow: pages and API", "Airflow: scheduler", "Airflow: reader of studies"),
            strict=True,
        )
    ),
}


@router.get("/")
def overview(request: Request, who: Anyone, index: Rounds) -> HTMLResponse:
    """Where the consortium stands; what does not answer is named, and the rest is shown."""
    installation = Installation.load(index.settings.installation)
    answers = health.every(installation, health.stored_chain_id(index.settings))
    cached = None
    member_status = None
    trouble = None
    try:
        cached = index.all()
        member_status = index.member_status(cached)
    except WardroundError as error:
        trouble = str(error)
    return render(
        request,
        "overview",
        who,
        services={_TITLES[name]: what for name, what in answers.items()},
        cached=cached,
        member_status=member_status,
        trouble=trouble,
        development=installation.development_chain,
    )
