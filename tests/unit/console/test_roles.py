"""The table of docs/how-to/use-the-console.md, against every endpoint of the console as everybody."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Mount
from starlette.testclient import TestClient

from pipeline.site.settings import PROJECT, Settings
from plugins.console import csrf, limiting
from plugins.console.app import create_app
from plugins.console.people import Person
from tests.support.console import AUDITOR, PROVIDER, app, of_hospital

DOCUMENT = PROJECT / "docs" / "how-to" / "use-the-console.md"
SOMEBODY: dict[str, Person | None] = {
    "Anonymous": None,
    "Hospital": of_hospital("aster"),
    "Auditor": AUDITOR,
    "Provider": PROVIDER,
}
VALUES = {
    "number": "1",
    "account": "999999",
    "hospital": "nowhere",
    "name": "nothing",
    "path": "console.css",
    "digest": "0" * 64,
    "suffix": "html",
}
"""What stands for a parameter of a path; none names anything that a form could change."""

_ROW = re.compile(r"\| `([A-Z]+) (/\S*)` \|" + r" (yes|no|log in) \|" * len(SOMEBODY) + r" \S.* \|")


def rows() -> dict[tuple[str, str], tuple[str, ...]]:
    found = [match.groups() for match in map(_ROW.fullmatch, DOCUMENT.read_text().splitlines()) if match]
    table = {(method, path): tuple(cells) for method, path, *cells in found}
    assert len(table) == len(found), f"{DOCUMENT.name}: an endpoint has two rows"
    return table


def endpoints() -> list[tuple[str, str]]:
    found = []
    for route in create_app(replace(Settings.load(), home=Path("/nonexistent"))).routes:
        if isinstance(route, Mount):
            found.append(("GET", f"{route.path}/{{path}}"))
        else:
            assert isinstance(route, APIRoute), f"{route}: want a page that this test can ask for"
            found += [(method, route.path) for method in sorted(route.methods)]
    return found


TABLE = rows()
ENDPOINTS = endpoints()


def test_the_table_has_no_row_without_an_endpoint() -> None:
    assert sorted(set(TABLE) - set(ENDPOINTS)) == [], f"delete these rows of {DOCUMENT.relative_to(PROJECT)}"


@pytest.fixture(scope="module")
def consoles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, FastAPI]:
    """The console for everybody, on an installation without any service.

    What is let in fails later, what is not fails at the door.
    """
    home = tmp_path_factory.mktemp("nothing")
    return {name: app(replace(Settings.load(), home=home, studies=home), who) for name, who in SOMEBODY.items()}


def answer(console: FastAPI, who: Person | None, method: str, path: str) -> str:
    """What the table calls the console's answer."""
    missing = sorted(set(re.findall(r"{(\w+)(?::\w+)?}", path)) - set(VALUES))
    assert not missing, f"{method} {path}: add a value for {', '.join(missing)} to VALUES of {Path(__file__).name}"
    client = TestClient(console, raise_server_exceptions=False, follow_redirects=False)
    form = {"csrf_token": csrf.token(who.login)} if who else {}
    if who is None or path == "/register":
        cookie, form["csrf_token"] = csrf.visit()
        client.cookies.set(csrf.COOKIE, cookie)
    url = re.sub(r"{(\w+)(?::\w+)?}", lambda match: VALUES[match[1]], path)
    response = client.request(method, url, data=form if method != "GET" else None)
    if response.status_code == 401 or response.headers.get("location", "").startswith("/auth/login/"):
        return "log in"
    return "no" if response.status_code == 403 else "yes"


@pytest.mark.parametrize(("method", "path"), ENDPOINTS, ids=lambda value: str(value))
def test_an_endpoint_lets_in_whom_the_table_says(consoles: dict[str, FastAPI], method: str, path: str) -> None:
    found = tuple(answer(consoles[name], who, method, path) for name, who in SOMEBODY.items())
    row = f"| `{method} {path}` | {' | '.join(found)} | what it is for |"
    assert (method, path) in TABLE, (
        f"add a row to {DOCUMENT.relative_to(PROJECT)}; what the endpoint does now is\n{row}\nif that is meant"
    )
    assert TABLE[method, path] == found, (
        f"{DOCUMENT.relative_to(PROJECT)} says otherwise; what the endpoint does now is\n{row}"
    )


@pytest.mark.parametrize("path", [path for method, path in ENDPOINTS if method != "GET"])
def test_whatever_changes_something_takes_no_form_without_a_token(consoles: dict[str, FastAPI], path: str) -> None:
    url = re.sub(r"{(\w+)}", lambda match: VALUES[match[1]], path)
    console = consoles["Provider"]
    console.state.limits = limiting.RateLimits()
    for value in ("", csrf.token("somebody-else"), csrf.visit()[1], csrf.token(PROVIDER.login) + "x"):
        answer = TestClient(console, follow_redirects=False).post(url, data={"csrf_token": value})
        assert answer.status_code == 403, f"POST {path}: want `dependencies=[OwnForm]`"
        assert "not sent from a current page of yours" in answer.text


def test_only_get_and_post_are_used() -> None:
    assert {method for method, _ in ENDPOINTS} == {"GET", "POST"}
