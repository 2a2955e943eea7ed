"""Requests made from the console's own description of itself never end in a server's error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from starlette.testclient import TestClient

from plugins.console import limiting
from tests.adversary import attack
from tests.support.console import form_token
from tests.support.consortia import Site
from tests.support.fab import Portal, portal

if TYPE_CHECKING:
    from schemathesis import Case, GenerationMode

pytestmark = [pytest.mark.store, pytest.mark.anvil]

EXAMPLES = 4
"""Per endpoint, kind of example (as described, and not) and asker."""

QUICKLY = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def door(town: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    with portal(tmp_path_factory.mktemp("door"), town.settings) as made:
        yield made


@pytest.fixture(scope="module")
def cases(door: Portal) -> list[Case]:
    """A few requests to each endpoint, as it describes them and otherwise."""
    import schemathesis
    from schemathesis import GenerationMode

    operations = [found.ok() for found in schemathesis.openapi.from_dict(door.console.openapi()).get_all_operations()]
    made = [case for operation in operations for mode in GenerationMode for case in examples(operation, mode)]
    assert {case.path for case in made} == set(door.console.openapi()["paths"])
    return made


@pytest.mark.parametrize("who", ["provider", None], ids=lambda who: who or "anonymous")
@attack(
    by="stranger",
    to="stop",
    tries="to bring the console down by requests of any form",
    costs="nothing",
    seen="refusals",
)
def test_no_request_ends_in_a_servers_error(
    door: Portal, cases: list[Case], who: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from plugins.console import csrf

    monkeypatch.setattr(limiting, "REGISTRATIONS_EACH", limiting.parse("100000/hour"))
    monkeypatch.setattr(limiting, "REGISTRATIONS_ALL", limiting.parse("100000/hour"))
    client = door.log_in(who) if who else door.client()
    assert client is not None
    cookie, visitors_token = csrf.visit()
    client.cookies.set(csrf.COOKIE, cookie)
    answers = set()
    for case in cases:
        token = form_token(who) if who and case.path != "/register" else visitors_token
        answer = ask(client, case, token)
        assert answer.status_code < 500, f"{case.as_curl_command()}\n{answer.text}"
        answers.add(answer.status_code)
    assert {200, 422} <= answers, "the requests reach what lies behind the login and the token"


def examples(operation: Any, mode: GenerationMode) -> list[Case]:
    """A few requests to an endpoint, the same in each run."""
    made: list[Case] = []

    @QUICKLY
    @given(operation.as_strategy(generation_mode=mode))
    def collect(case: Case) -> None:
        made.append(case)

    try:
        collect()
    except Exception as error:
        # An endpoint that takes nothing has no request that it does not describe.
        if mode.is_positive:
            raise AssertionError(f"{operation.label}: no request could be made") from error
    return made


def ask(client: TestClient, case: Case, token: str) -> Any:
    """Send a request with a valid token, so that it comes past the door where its asker may."""
    form = {str(name): _text(value) for name, value in case.body.items()} if isinstance(case.body, Mapping) else {}
    query = {str(name): _text(value) for name, value in (case.query or {}).items()}
    url = f"/wardround{case.formatted_path}"
    return client.request(
        case.method, url, params=query, data={**form, "csrf_token": token} if case.method != "GET" else None
    )


def _text(value: object) -> str:
    # A lone surrogate cannot be sent.
    return str(value).encode("utf-8", "replace").decode()
