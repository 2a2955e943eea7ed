"""A publisher of data sets on this machine: files like the real ones, served well or badly."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np

from pipeline.datasets.publishers import PUBLISHED, Published
from pipeline.host.ports import LOOPBACK
from tests.support import heart
from tests.support.serving import serving

IMAGES = {"train": 640, "val": 60, "test": 200}
_DRIP_SECONDS = 0.1


def publish(folder: Path, seed: int = 0) -> Path:
    """Write the files of every published data set under `folder`; the folder, as WARDROUND_DATA names it."""
    heart.publish(folder, seed)
    rng = np.random.default_rng(seed)
    arrays = {}
    for split, count in IMAGES.items():
        labels = np.arange(count) % 2
        # A lung with pneumonia is whiter.
        arrays[f"{split}_images"] = rng.integers(0, 156, (count, 28, 28), dtype=np.uint8) + np.uint8(100) * labels[
            :, None, None
        ].astype(np.uint8)
        arrays[f"{split}_labels"] = labels[:, None]
    (folder / "pneumoniamnist").mkdir()
    np.savez(folder / "pneumoniamnist" / "pneumoniamnist.npz", **arrays)
    return folder


class Publisher:
    """Serves the files of a folder, each data set at the address that `published` gives; `manner` says how."""

    MANNERS = ("whole", "broken once", "truncated", "wrong", "missing", "hanging", "dripping")

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.address = f"http://{LOOPBACK}:{port}/"
        self.manner = "whole"
        self.asked: Counter[str] = Counter()
        """How often each file was asked for."""
        self.left = threading.Event()

    def published(self) -> Mapping[str, Published]:
        """The table of `pipeline.datasets.publishers`, of these files."""
        return {
            name: Published(
                page=real.page,
                address=f"{self.address}{real.folder}/",
                folder=real.folder,
                files={
                    file: f"sha256:{hashlib.sha256((self.folder / real.folder / file).read_bytes()).hexdigest()}"
                    for file in real.files
                },
            )
            for name, real in PUBLISHED.items()
        }

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """One answer in the present manner."""
        self.asked[handler.path] += 1
        content = (self.folder / handler.path.lstrip("/")).read_bytes()
        if self.manner == "missing":
            handler.send_error(404)
            return
        if self.manner == "wrong":
            content = content[:-1] + bytes([content[-1] ^ 1])
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        broken = self.manner == "truncated" or (self.manner == "broken once" and self.asked[handler.path] == 1)
        if broken:
            handler.wfile.write(content[: len(content) // 2])
        elif self.manner == "hanging":
            handler.wfile.write(content[: len(content) // 2])
            self.left.wait()
        elif self.manner == "dripping":
            while not self.left.wait(_DRIP_SECONDS):
                handler.wfile.write(content[:1])
        else:
            handler.wfile.write(content)


def publisher(folder: Path) -> AbstractContextManager[Publisher]:
    """A publisher of what `publish` wrote into the folder."""
    return serving(lambda port: Publisher(folder, port))
