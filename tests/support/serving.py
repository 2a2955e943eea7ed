"""An HTTP server of a test's own on this machine, which answers as a test wants."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol, TypeVar

from pipeline.ports import LOOPBACK


class Desk(Protocol):
    """What answers requests."""

    left: threading.Event
    """Set when the server ends: whoever keeps a client waiting waits for it."""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one GET."""
        ...


D = TypeVar("D", bound=Desk)


@contextmanager
def serving(make: Callable[[int], D]) -> Iterator[D]:
    """The desk that `make` gives for a port, answering there until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            desk.answer(self)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    server.daemon_threads = True
    desk = make(server.server_port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield desk
    finally:
        desk.left.set()
        server.shutdown()
        server.server_close()
