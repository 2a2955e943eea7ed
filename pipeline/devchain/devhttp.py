"""The development chain's HTTP: JSON-RPC by POST, what it is by GET."""

from __future__ import annotations

import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from pipeline.errors import Misconfigured

NAME = "WardroundDevelopmentChain"

_LOG = logging.getLogger(__name__)
_LARGEST_REQUEST = 1 << 20


class Answering(Protocol):
    """What answers for a chain."""

    @property
    def status(self) -> dict[str, Any]:
        """What `GET /` answers."""

    def answer(self, body: bytes) -> dict[str, Any]:
        """The JSON-RPC response to one request."""


def serve(chain: Answering, bind: str, port: int) -> ThreadingHTTPServer:
    """Answer requests for `chain` on `bind`:`port` from background threads.

    Raises Misconfigured when the port is taken.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = NAME
        sys_version = ""
        timeout = 60
        wbufsize = -1  # headers and body in one segment: two would wait for a delayed acknowledgement
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._reply(
                200 if self.path == "/" else 404, chain.status if self.path == "/" else {"error": "only / is here"}
            )

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not length.isdecimal() or int(length) > _LARGEST_REQUEST:
                self.close_connection = True
                self._reply(413, refusal(None, -32600, f"want Content-Length up to {_LARGEST_REQUEST}"))
                return
            self._reply(200, chain.answer(self.rfile.read(int(length))))

        def log_message(self, template: str, *args: object) -> None:
            _LOG.debug(template, *args)

        def _reply(self, status: int, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    try:
        server = ThreadingHTTPServer((bind, port), Handler)
    except OSError as error:
        raise Misconfigured(f"port {port} on {bind}: {error.strerror}; choose another in installation.yaml") from error
    threading.Thread(target=server.serve_forever, name="rpc", daemon=True).start()
    return server


def refusal(identity: str | int | None, code: int, message: str) -> dict[str, Any]:
    """A JSON-RPC error response."""
    return {"jsonrpc": "2.0", "id": identity, "error": {"code": code, "message": message}}
