"""Where a node puts vectors that do not fit into memory.

In an unnamed file that is gone with the process, whatever ends it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np

from pipeline.mpc.sharing import Vector


class Part(Protocol):
    """A vector of 64-bit words, in memory or in a file, of which one reads a piece at a time."""

    def __len__(self) -> int: ...

    def __getitem__(self, piece: slice, /) -> Vector: ...


class Spooled:
    """A vector in a spool's file."""

    def __init__(self, handle: int, start: int, length: int) -> None:
        self._handle = handle
        self._start = start
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, piece: slice, /) -> Vector:
        first, last, _ = piece.indices(self._length)
        data = os.pread(self._handle, 8 * max(last - first, 0), self._start + 8 * first)
        return np.frombuffer(data, "<i8").astype(np.int64)


class Spool:
    """Keeps vectors one after the other in a file."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._end = 0

    def keep(self, pieces: Iterable[Vector]) -> Spooled:
        """Write a vector piece by piece."""
        start = self._end
        length = 0
        for words in pieces:
            data = memoryview(words.astype("<i8", copy=False).tobytes())
            length = length + len(words)
            written = 0
            while written < len(data):
                written += os.pwrite(self._handle, data[written:], self._end + written)
            self._end += len(data)
        return Spooled(self._handle, start, length)


@contextmanager
def spool(folder: Path) -> Iterator[Spool]:
    """A spool in the private `folder` until the end of the block."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        yield Spool(file.fileno())
