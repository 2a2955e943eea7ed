"""Copies files into an archive while they change: all of them once, then at a moment of stillness what is not the same.

In the archive the later one of two entries counts. An entry that was torn, because its file changed while it was read,
is one whose file is not the same afterwards.
"""

from __future__ import annotations

import tarfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO, BinaryIO, cast

_SAME_TICK_NS = 2_000_000_000
"""A file that was touched so shortly before it was read may be touched again, and bear the same time."""

Mark = tuple[object, ...]


class Copy:
    """What is in an archive, by its name there, and as it was then."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self._marks: dict[str, Mark | None] = {}
        self._files: set[str] = set()

    def take(self, entries: Iterable[tuple[Path, str]]) -> None:
        """Copy files, folders and links that are not in the archive as they are now."""
        for path, name in entries:
            try:
                mark = _mark(path)
                if name not in self._marks or mark is None or self._marks[name] != mark:
                    self._add(path, name)
                    self._marks[name] = mark
            except FileNotFoundError:
                continue  # gone since it was listed

    def settle(self, entries: Iterable[tuple[Path, str]]) -> list[str]:
        """Copy what is not the same at this moment of stillness; the names that were copied, and are gone now."""
        listed = list(entries)
        self.take(listed)
        gone = sorted(self._marks.keys() - {name for _, name in listed})
        self._files -= set(gone)
        return gone

    @property
    def files(self) -> int:
        """How many there are, without folders and links."""
        return len(self._files)

    def _add(self, path: Path, name: str) -> None:
        if path.is_symlink() or not path.is_file():
            self._files.discard(name)
            self._archive.add(path, name, recursive=False)
            return
        with path.open("rb") as file:
            # Two names of one file are two files in the archive: one of them may have been copied before a change.
            self._archive.inodes.clear()  # type: ignore[attr-defined]
            entry = self._archive.gettarinfo(arcname=name, fileobj=file)
            self._archive.addfile(entry, cast("IO[bytes]", _Whole(file, entry.size)))
        self._files.add(name)


class _Whole:
    """So many bytes of a file, zeros where it became shorter meanwhile."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int) -> bytes:
        """The next ones."""
        wanted = min(size, self._left)
        self._left -= wanted
        return self._file.read(wanted).ljust(wanted, b"\0")


def _mark(path: Path) -> Mark | None:
    """What changes with a file; None where that cannot be told."""
    stat = path.lstat()
    if path.is_symlink():
        return ("link", str(path.readlink()))
    if path.is_dir():
        return ("folder",)
    if time.time_ns() - stat.st_ctime_ns < _SAME_TICK_NS:
        return None
    return (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
