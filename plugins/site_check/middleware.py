"""The check as ASGI middleware around all of Airflow's API server; fails closed."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any

from anyio.to_thread import run_sync

from pipeline.errors import Refused, WardroundError
from plugins.site_check import edge, execution, records
from plugins.site_check.edge import Granted, WorkerCall

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOG = logging.getLogger(__name__)
_EDGE = "edge_worker"
_SITES = edge.PREFIX.strip("/")
_WRITTEN_ANEW = frozenset({b"authorization", b"content-length", b"content-type", b"transfer-encoding"})


class SiteCheck:
    """Hands on what is nobody's Edge call and no task's, and of those what is granted."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection, as ASGI has it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        try:
            granted = await _checked(scope, receive)
        except Refused as refusal:
            _LOG.warning("refused a call from %s: %s", _client(scope), refusal)
            await _refuse(scope, send, str(refusal))
        except WardroundError as error:
            # A token's file that others can read, say: nobody is let in by it.
            _LOG.error("refused a call from %s: %s", _client(scope), error)
            await _refuse(scope, send, "the provider's installation is at fault; its log says how")
        else:
            if granted is None:
                await self._app(scope, receive, send)
            else:
                await self._app(*_in_its_place(scope, receive, granted), send)


async def _checked(scope: Scope, receive: Receive) -> Granted | None:
    """What Airflow gets in the place of an Edge call, None for a call that it gets as it is; raises Refused."""
    path: str = scope["path"]
    segments = [part for part in path.lower().split("/") if part]
    # However it is spelled: Airflow's own path is not for calls from outside, and whoever works here calls as a site.
    is_edge = any(_EDGE in part for part in segments) or segments[:1] == [_SITES]
    is_task = not is_edge and path.startswith(execution.PREFIX)
    if not (is_edge or is_task):
        return None
    if scope["type"] != "http":
        raise Refused(f"got a {scope['type']}, want a request")
    authorizations = tuple(value for name, value in scope["headers"] if name == b"authorization")
    if is_task:
        check = partial(execution.check, scope["method"], path, authorizations, records)
        await run_sync(check)
        return None
    if not path.startswith(edge.PREFIX):
        raise Refused("Airflow's Edge API is for nobody but this installation's sites, below /sites/QUEUE/")
    call = WorkerCall(
        scope["method"], scope.get("raw_path") or b"", scope["query_string"], authorizations, await _body(receive)
    )
    return await run_sync(partial(edge.granted, call, records))


def _in_its_place(scope: Scope, receive: Receive, granted: Granted) -> tuple[Scope, Receive]:
    """The request that Airflow gets: path, token and body are ours, the rest is as it came."""
    path = f"/{_EDGE}/v1/{granted.rest}"
    headers = [
        *((name, value) for name, value in scope["headers"] if name not in _WRITTEN_ANEW),
        (b"authorization", records.airflow_token(granted.rest).encode()),
        (b"content-length", str(len(granted.body)).encode()),
        *([(b"content-type", b"application/json")] if granted.body else []),
    ]
    said = [{"type": "http.request", "body": granted.body, "more_body": False}]

    async def replay() -> Message:
        return said.pop() if said else await receive()

    changed = {"path": path, "raw_path": path.encode(), "query_string": granted.query, "headers": headers}
    return {**scope, **changed}, replay


async def _body(receive: Receive) -> bytes:
    found = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Refused("the caller hung up")
        found += message.get("body", b"")
        if len(found) > edge.LARGEST_LOG:
            raise Refused(f"got more than {edge.LARGEST_LOG} bytes")
        if not message.get("more_body"):
            return bytes(found)


async def _refuse(scope: Scope, send: Send, why: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    body = json.dumps({"detail": why}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _client(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else "unknown"
