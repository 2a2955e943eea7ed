"""The console without Airflow around it: somebody is logged in already, everything behind the pages is real.

What loads Airflow is imported where it is used, here and in the tests: every worker collects them, and one plays them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from functools import cache
from threading import Thread

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from starlette.datastructures import State
from starlette.testclient import TestClient

from pipeline.airflow.accounts import Role
from pipeline.domain import HospitalName
from pipeline.host import ports
from pipeline.site.settings import Settings
from plugins.console.people import Person
from plugins.console.round_cache import RoundCache

PROVIDER = Person("provider", Role.PROVIDER)
AUDITOR = Person("auditor", Role.AUDITOR)


def of_hospital(name: str) -> Person:
    return Person(f"hospital-{name}", Role.HOSPITAL, HospitalName(name))


def app(settings: Settings, who: Person | None, index: RoundCache | None = None) -> FastAPI:
    """The application with `who` logged in; nobody when None. `index` holds rounds that were read elsewhere."""
    from plugins.console.app import equip

    made = copy(_with_routes())
    made.state = State()
    made.middleware_stack = None
    equip(made, settings)
    made.state.index = index or made.state.index
    made.state.logged_in = who
    return made


@cache
def _with_routes() -> FastAPI:
    """FastAPI takes a tenth of a second to make the routes.

    All applications of the tests share them, and nothing else.
    """
    from plugins.console import access
    from plugins.console.app import create_app

    def logged_in(request: Request) -> Person:
        who: Person | None = request.app.state.logged_in
        if who is None:
            raise HTTPException(401, "Not authenticated")
        return access.entered(request, who)

    made = create_app(Settings.load())
    made.dependency_overrides[access.current_person] = logged_in
    return made


def form_token(login: str) -> str:
    """What stands hidden in the forms of the pages that `login` is shown."""
    from plugins.console import csrf

    return csrf.token(login)


def client(settings: Settings, who: Person | None, index: RoundCache | None = None) -> TestClient:
    """Asks the application in this process."""
    return TestClient(app(settings, who, index), follow_redirects=False)


@contextmanager
def served(settings: Settings, who: Person | None) -> Iterator[str]:
    """The application's address while a browser looks at it."""
    port = ports.choose()
    server = uvicorn.Server(uvicorn.Config(app(settings, who), host=ports.LOOPBACK, port=port, log_level="warning"))
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    try:
        yield f"http://{ports.LOOPBACK}:{port}"
    finally:
        server.should_exit = True
        thread.join()
