"""A webhook on this machine, as notices are sent to one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from pipeline.host.secret import Secret


class Receiver:
    """A webhook that keeps what it gets; `answer` is its status."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.answer = 200
        outer = self

        class _Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(outer.answer)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()

    def titles(self) -> list[str]:
        """What came since the last call, by the notices' titles."""
        titles = [str(got["title"]).removeprefix("Wardround: ") for got in self.got]
        self.got.clear()
        return titles

    @property
    def address(self) -> Secret:
        return Secret(f"json://ada:hunter2@127.0.0.1:{self.server.server_port}/hook".encode())


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()
