"""Files that are either whole or not there: write to a sibling, fsync, rename, fsync the folder.

What takes long to make is made in a scratch folder first.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import Unavailable


@contextmanager
def replacing(path: Path, *, mode: int = 0o644) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` when the block ends, and is gone when it raises.

    Raises Unavailable, and leaves `path` as it was, where the disk has no room.
    """
    with _room(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                os.fchmod(file.fileno(), mode)
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _room(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise Unavailable(
            f"{path}: the disk of this machine is full ({error.strerror}); make room, then try again: what was there is"
            " as it was"
        ) from error


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace `path` by `data`; after a crash it holds the old bytes or the new ones."""
    with replacing(path, mode=mode) as file:
        file.write(data)


def write_secret(path: Path, data: bytes) -> None:
    """Write `data` readable by its owner only."""
    write_atomic(path, data, mode=0o600)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path` between processes of one machine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def scratch(parent: Path, doing: str) -> Iterator[Path]:
    """A folder `.DOING-...` in `parent` that is gone after the block.

    Folders that a killed process left there are removed first.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        # Or another process would take a folder that nobody holds yet for a left one.
        with locked(parent / f".{doing}.lock"):
            for left in parent.glob(f".{doing}-*"):
                _remove_unless_held(left)
            folder = Path(tempfile.mkdtemp(dir=parent, prefix=f".{doing}-"))
            held.callback(shutil.rmtree, folder, ignore_errors=True)
            held.enter_context(_holding(folder))
        yield folder


@contextmanager
def _holding(folder: Path) -> Iterator[None]:
    """Hold the lock on a folder itself, which the kernel takes back from a process that ends.

    Raises BlockingIOError when it is held.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _remove_unless_held(folder: Path) -> None:
    try:
        with _holding(folder):
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:  # held, or gone meanwhile
        return
