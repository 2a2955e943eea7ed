"""An HTTP server of a test's own on this machine, which answers as a test wants."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol, TypeVar

from pipeline.host.ports import LOOPBACK


class Responder(Protocol):
    """What answers requests."""

    left: threading.Event
    """Set when the server ends: whoever keeps a client waiting waits for it."""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request; `handler.command` says whether it is a GET or a POST."""
        ...


R = TypeVar("R", bound=Responder)


@contextmanager
def serving(make: Callable[[int], R], tls: ssl.SSLContext | None = None) -> Iterator[R]:
    """The responder that `make` gives for a port, answering there until the end of the block, over TLS if asked to."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            responder.answer(self)

        do_POST = do_PUT = do_GET  # noqa: N815

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    server.daemon_threads = True
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    responder = make(server.server_port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield responder
    finally:
        responder.left.set()
        server.shutdown()
        server.server_close()


def body(handler: BaseHTTPRequestHandler) -> bytes:
    """What a request carries."""
    return handler.rfile.read(int(handler.headers.get("Content-Length", 0)))


def reply(handler: BaseHTTPRequestHandler, content: bytes, status: int = 200) -> None:
    """Send a whole answer."""
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)
