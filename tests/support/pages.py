"""Every page of the console, found by its routes, so that no new one is forgotten."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from pipeline.site.settings import Settings
from plugins.console.people import Person
from tests.support.console import app

_OF_NOTHING = {"digest": "0" * 64, "suffix": "html"}
"""What only a download takes."""


def routes(of: FastAPI) -> list[APIRoute]:
    return [route for route in of.routes if isinstance(route, APIRoute) and route.methods and "GET" in route.methods]


def pages(settings: Settings, who: Person | None, values: Mapping[str, object]) -> Iterator[str]:
    """Paths of all that `who` is shown as a page; `values` stands in for the parameters of paths, by their names."""
    made = app(settings, who)
    asking = TestClient(made, follow_redirects=False)
    for route in routes(made):
        path = route.path.format(**_OF_NOTHING, **values)
        answer = asking.get(path)
        if answer.status_code == 200 and answer.headers["content-type"].startswith("text/html"):
            yield path
