from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, MutableMapping
from typing import Any

import jwt
import pytest

from pipeline.errors import Misconfigured
from pipeline.host.secret import Secret
from plugins.site_check import edge, records
from plugins.site_check.edge import Job
from plugins.site_check.middleware import SiteCheck

WREN = "hospital-wren"
REST = f"jobs/fetch/{WREN}"
SECRET = Secret(Secret.generate(64).token().encode())
BODY = json.dumps({"queues": [WREN], "free_concurrency": 1}).encode()


@pytest.fixture(autouse=True)
def one_site(monkeypatch: pytest.MonkeyPatch) -> None:
    def queues(job: Job) -> Mapping[str, str]:
        return {}

    monkeypatch.setattr(records, "token", lambda queue: SECRET if queue == WREN else None)
    monkeypatch.setattr(records, "queues", queues)
    monkeypatch.setattr(records, "task", lambda uuid: None)
    monkeypatch.setattr(records, "airflow_token", lambda rest: f"airflow's, for {rest}")


class Airflow:
    """Notes what reached it."""

    def __init__(self) -> None:
        self.scope: MutableMapping[str, Any] | None = None
        self.body = b""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        if scope["type"] == "http":
            self.body = (await receive())["body"]


def signed() -> bytes:
    now = int(time.time())
    claims = {"aud": "api", "iat": now, "nbf": now, "exp": now + 30, "method": REST}
    return jwt.encode(claims, SECRET.text(), algorithm="HS512").encode()


def asked(
    path: str, *, kind: str = "http", pieces: tuple[bytes, ...] = (BODY,), hangs_up: bool = False, **scope: Any
) -> tuple[Airflow, list[Any]]:
    """What reaches Airflow of a request, and what its sender is told."""
    airflow = Airflow()
    said: list[Any] = []
    parts = [
        {"type": "http.request", "body": piece, "more_body": hangs_up or index < len(pieces) - 1}
        for index, piece in enumerate(pieces)
    ] + [{"type": "http.disconnect"}] * hangs_up
    headers = [(b"authorization", signed()), (b"content-length", b"999"), (b"x-other", b"kept")]
    whole = {
        "type": kind,
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "client": ("10.0.0.1", 1),
        **scope,
    }

    async def receive() -> Any:
        return parts.pop(0)

    async def send(message: Any) -> None:
        said.append(message)

    asyncio.run(SiteCheck(airflow)(whole, receive, send))
    return airflow, said


def test_airflow_gets_path_token_and_body_of_ours() -> None:
    airflow, said = asked(f"/sites/{WREN}/edge_worker/v1/{REST}", pieces=(BODY[:5], BODY[5:]))
    assert said == []
    assert airflow.scope is not None
    assert (airflow.scope["path"], airflow.scope["raw_path"]) == (
        f"/edge_worker/v1/{REST}",
        f"/edge_worker/v1/{REST}".encode(),
    )
    assert sorted(airflow.scope["headers"]) == [
        (b"authorization", f"airflow's, for {REST}".encode()),
        (b"content-length", str(len(airflow.body)).encode()),
        (b"content-type", b"application/json"),
        (b"x-other", b"kept"),
    ]
    assert json.loads(airflow.body) == json.loads(BODY)


@pytest.mark.parametrize("path", ["/", "/wardround/", "/api/v2/dags", "/ui/config", "/auth/token", "/siteswap"])
def test_all_else_passes_as_it_came(path: str) -> None:
    airflow, said = asked(path)
    assert said == []
    assert airflow.scope is not None
    assert airflow.scope["headers"][0] == (b"authorization", signed())
    assert airflow.body == BODY


@pytest.mark.parametrize(
    "path",
    [
        f"/edge_worker/v1/{REST}",
        "/edge_worker",
        "//edge_worker/v1/health",
        "/EDGE_WORKER/v1/health",
        "/x/edge_worker/v1/health",
        "/sites",
        "//sites/x",
        "/SITES/x",
        f"/sites/{WREN}/other",
        "/execution",
        "/execution/task-instances/1/run",
        "/executions",
    ],
)
def test_what_only_sites_and_tasks_may_ask_is_refused_of_others(path: str) -> None:
    airflow, said = asked(path)
    assert airflow.scope is None
    assert said[0]["status"] == 403
    assert json.loads(said[1]["body"])["detail"]


@pytest.mark.parametrize("path", [f"/sites/{WREN}/edge_worker/v1/{REST}", "/edge_worker/v1/x", "/execution/x"])
def test_a_websocket_is_closed(path: str) -> None:
    airflow, said = asked(path, kind="websocket")
    assert airflow.scope is None
    assert said == [{"type": "websocket.close", "code": 1008}]


def test_too_much_is_not_read_to_its_end() -> None:
    pieces = (b"x" * (edge.LARGEST_LOG // 2),) * 3
    airflow, said = asked(f"/sites/{WREN}/edge_worker/v1/{REST}", pieces=pieces)
    assert (airflow.scope, said[0]["status"]) == (None, 403)


def test_who_hangs_up_is_not_handed_on() -> None:
    airflow, _ = asked(f"/sites/{WREN}/edge_worker/v1/{REST}", hangs_up=True)
    assert airflow.scope is None


def test_a_server_that_gives_no_raw_path_lets_nobody_in() -> None:
    airflow, said = asked(f"/sites/{WREN}/edge_worker/v1/{REST}", raw_path=None)
    assert (airflow.scope, said[0]["status"]) == (None, 403)


def test_a_token_file_that_others_can_read_lets_nobody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def token(queue: str) -> Secret | None:
        raise Misconfigured("secrets/sites/hospital-wren: got mode 644, want 600")

    monkeypatch.setattr(records, "token", token)
    airflow, said = asked(f"/sites/{WREN}/edge_worker/v1/{REST}")
    assert (airflow.scope, said[0]["status"]) == (None, 403)
    assert "644" not in said[1]["body"].decode()


def test_starting_and_stopping_is_airflows_own() -> None:
    airflow, said = asked("", kind="lifespan")
    assert airflow.scope is not None
    assert said == []
