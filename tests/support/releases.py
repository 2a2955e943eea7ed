"""Releases of MP-SPDZ on this machine.

Archives laid out like the official one, and a publisher that serves them well or badly.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import tarfile
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from pipeline.host.ports import LOOPBACK
from pipeline.mpc.engines.mp_spdz.engine import NODES
from pipeline.setup.engine.install import EngineRelease
from tests.support.serving import serving

TOP = "mp-spdz-0.4.2"
NAME = f"{TOP}.tar.xz"
PARTIES = tuple(f"{protocol}-party.x" for protocol in NODES)


def plain(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    """A member of an archive; fields as `tarfile.TarInfo` has them."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    member.mode = 0o755
    for field, value in fields.items():
        setattr(member, field, value)
    return member, content


def archive(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    """Write an archive of these members."""
    with lzma.open(path, "wb", preset=0) as file, tarfile.open(fileobj=file, mode="w") as tar:
        for member, content in members:
            tar.addfile(member, io.BytesIO(content))
    return path


def hollow(path: Path, **parties: bytes) -> Path:
    """An archive with everything in its place, whose compiler and parties end at once with an error."""
    fails = b"#!/bin/sh\nexit 1\n"
    programs = [
        plain(f"{TOP}/bin/Linux-amd64/{name}", parties.get(name, fails)) for name in (*PARTIES, "other-party.x")
    ]
    return archive(
        path, plain(f"{TOP}/compile.py", b"raise SystemExit(1)\n"), plain(f"{TOP}/Compiler/__init__.py"), *programs
    )


def official(path: Path, installed: Path, changed: Mapping[str, bytes] | None = None) -> Path:
    """An archive of the MP-SPDZ that is installed here, some of its parties `changed`."""
    with lzma.open(path, "wb", preset=0) as file, tarfile.open(fileobj=file, mode="w") as tar:
        for name in ("compile.py", "Compiler", "libSPDZ.so"):
            if (installed / name).exists():
                tar.add(installed / name, f"{TOP}/{name}")
        for name in PARTIES:
            content = (changed or {}).get(name) or (installed / name).read_bytes()
            tar.addfile(
                *(lambda member, data: (member, io.BytesIO(data)))(*plain(f"{TOP}/bin/Linux-amd64/{name}", content))
            )
    return path


def digest_of(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Publisher:
    """Serves one archive and the page about it; `manner` says how."""

    def __init__(self, file: Path, port: int) -> None:
        self.release = EngineRelease(f"http://{LOOPBACK}:{port}/page", f"http://{LOOPBACK}:{port}/files/{NAME}")
        self.file = file
        self.manner = "whole"
        self.asked = 0
        self.digest: str | None = f"sha256:{digest_of(file)}"
        self.left = threading.Event()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """One answer in the present manner."""
        if handler.path == "/page":
            files = [{"name": "Source code"}, {"name": NAME, "digest": self.digest}]
            content = json.dumps({"assets": files}).encode()
            manner = "whole"
        else:
            content = self.file.read_bytes()
            manner = self.manner
            self.asked += 1
        if manner == "missing":
            handler.send_error(404)
            return
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        if manner == "wrong":
            content = content[:-1] + bytes([content[-1] ^ 1])
        handler.wfile.write(content if manner in ("whole", "wrong") else content[: len(content) // 2])
        if manner == "hanging":
            self.left.wait()


def publisher(file: Path) -> AbstractContextManager[Publisher]:
    """A publisher of an archive."""
    return serving(lambda port: Publisher(file, port))
