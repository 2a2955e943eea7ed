"""The table of docs/how-to/use-the-console.md, against every endpoint of the console as everybody."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Mount
from starlette.testclient import TestClient

from pipeline.site.settings import PROJECT, Settings
from plugins.console import limiting
from plugins.console.people import Person
from tests.support.console import AUDITOR, PROVIDER, app, form_token, of_hospital

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
    "form": "safetensors",
}
"""What stands for a parameter of a path; none names anything that a form could change."""

_ROW = re.compile(r"\| `([A-Z]+) (/\S*)` \|" + r" (yes|no|log in) \|" * len(SOMEBODY) + r" \S.* \|")


def rows() -> dict[tuple[str, str], tuple[str, ...]]:
    found = [match.groups() for match in map(_ROW.fullmatch, DOCUMENT.read_text().splitlines()) if match]
    table = {(method, path): tuple(cells) for method, path, *cells in found}
    assert len(table) == len(found), f"{DOCUMENT.name}: an endpoint has two rows"
    return table


@cache
def endpoints() -> list[tuple[str, str]]:
    """Asked for by tests alone: the console loads Airflow, which every worker would pay as it collects."""
    from plugins.console.app import create_app

    found = []
    for route in create_app(replace(Settings.load(), home=Path("/nonexistent"))).routes:
        if isinstance(route, Mount):
            found.append(("GET", f"{route.path}/{{path}}"))
        else:
            assert isinstance(route, APIRoute), f"{route}: want a page that this test can ask for"
            found += [(method, route.path) for method in sorted(route.methods)]
    return found


TABLE = rows()


def test_the_table_has_no_row_without_an_endpoint() -> None:
    assert sorted(set(TABLE) - set(endpoints())) == [], f"delete these rows of {DOCUMENT.relative_to(PROJECT)}"


@pytest.fixture(scope="module")
def consoles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, FastAPI]:
    """The console for everybody, on an installation without any service.

    What is let in fails later, what is not fails at the door.
    """
    home = tmp_path_factory.mktemp("nothing")
    return {name: app(replace(Settings.load(), home=home, studies=home), who) for name, who in SOMEBODY.items()}


def answer(console: FastAPI, who: Person | None, method: str, path: str) -> str:
    """What the table calls the console's answer."""
    from plugins.console import csrf

    missing = sorted(set(re.findall(r"{(\w+)(?::\w+)?}", path)) - set(VALUES))
    assert not missing, f"{method} {path}: add a value for {', '.join(missing)} to VALUES of {Path(__file__).name}"
    client = TestClient(console, raise_server_exceptions=False, follow_redirects=False)
    form = {"csrf_token": form_token(who.login)} if who else {}
    if who is None or path == "/register":
        cookie, form["csrf_token"] = csrf.visit()
        client.cookies.set(csrf.COOKIE, cookie)
    url = re.sub(r"{(\w+)(?::\w+)?}", lambda match: VALUES[match[1]], path)
    response = client.request(method, url, data=form if method != "GET" else None)
    if response.status_code == 401 or response.headers.get("location", "").startswith("/auth/login/"):
        return "log in"
    return "no" if response.status_code == 403 else "yes"


def answers(consoles: dict[str, FastAPI], method: str, path: str) -> tuple[tuple[str, ...], str]:
    """The console's answers to everybody, and the row that says so."""
    found = tuple(answer(consoles[name], who, method, path) for name, who in SOMEBODY.items())
    return found, f"| `{method} {path}` | {' | '.join(found)} | what it is for |"


def test_the_table_has_a_row_for_every_endpoint(consoles: dict[str, FastAPI]) -> None:
    lacking = [answers(consoles, *endpoint)[1] for endpoint in endpoints() if endpoint not in TABLE]
    assert lacking == [], (
        f"add rows to {DOCUMENT.relative_to(PROJECT)}; what the endpoints do now is\n"
        + "\n".join(lacking)
        + "\nif that is meant"
    )


@pytest.mark.parametrize(("method", "path"), TABLE, ids=lambda value: str(value))
def test_an_endpoint_lets_in_whom_the_table_says(consoles: dict[str, FastAPI], method: str, path: str) -> None:
    found, row = answers(consoles, method, path)
    assert TABLE[method, path] == found, (
        f"{DOCUMENT.relative_to(PROJECT)} says otherwise; what the endpoint does now is\n{row}"
    )


@pytest.mark.parametrize("path", [path for method, path in TABLE if method != "GET"])
def test_whatever_changes_something_takes_no_form_without_a_token(consoles: dict[str, FastAPI], path: str) -> None:
    from plugins.console import csrf

    url = re.sub(r"{(\w+)}", lambda match: VALUES[match[1]], path)
    console = consoles["Provider"]
    console.state.limits = limiting.RateLimits()
    for value in ("", form_token("somebody-else"), csrf.visit()[1], form_token(PROVIDER.login) + "x"):
        answer = TestClient(console, follow_redirects=False).post(url, data={"csrf_token": value})
        assert answer.status_code == 403, f"POST {path}: want `dependencies=[OwnForm]`"
        assert "not sent from a current page of yours" in answer.text


def test_only_get_and_post_are_used() -> None:
    assert {method for method, _ in endpoints()} == {"GET", "POST"}
