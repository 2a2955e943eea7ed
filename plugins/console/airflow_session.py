"""Airflow as the person who is logged in.

The console hands on the request's own token and stores none, so that Airflow's rights decide.
"""

from __future__ import annotations

from fastapi import HTTPException, Request, status

from pipeline.host.secret import Secret
from pipeline.site.airflow_api import Airflow
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings

_COOKIE = "_token"
"""Airflow's own name for it."""


def of(request: Request, settings: Settings) -> Airflow:
    """Airflow at the installation's own address, whatever a request says; 401 without a token."""
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    # In Airflow's own order, so that the token is that of the person whom the page was shown to.
    token = bearer if scheme.lower() == "bearer" and bearer else request.cookies.get(_COOKIE)
    if not token:
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, "Not logged in at Airflow; log in and send the form again.")
    services = Installation.load(settings.installation)
    return Airflow(services.airflow, Secret(token.encode()), services.authority)
