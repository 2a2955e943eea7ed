"""The console without Airflow around it: somebody is logged in already, everything behind the pages is real."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from starlette.testclient import TestClient

from pipeline import ports
from pipeline.domain import HospitalName
from pipeline.settings import Settings
from pipeline.setup.accounts import Role
from plugins.console import access
from plugins.console.app import create_app
from plugins.console.people import Person
from plugins.console.rounds import RoundIndex

PROVIDER = Person("provider", Role.PROVIDER)
AUDITOR = Person("auditor", Role.AUDITOR)


def of_hospital(name: str) -> Person:
    return Person(f"hospital-{name}", Role.HOSPITAL, HospitalName(name))


def app(settings: Settings, who: Person | None, index: RoundIndex | None = None) -> FastAPI:
    """The application with `who` logged in; nobody when None. `index` holds rounds that were read elsewhere."""

    def logged_in(request: Request) -> Person:
        if who is None:
            raise HTTPException(401, "Not authenticated")
        return access.entered(request, who)

    made = create_app(settings)
    made.state.index = index or made.state.index
    made.dependency_overrides[access.current_person] = logged_in
    return made


def client(settings: Settings, who: Person | None, index: RoundIndex | None = None) -> TestClient:
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
