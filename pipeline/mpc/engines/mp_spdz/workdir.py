"""The private folder of one run: in memory where the machine has room, gone afterwards whatever happens."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from pipeline.errors import EngineFailed
from pipeline.host.files import locked

MEMORY = Path("/dev/shm")  # noqa: S108
"""Where Linux keeps files in memory."""

RUNS = MEMORY / f"wardround-{os.getuid()}"
"""The folders of this user's runs: one place for all installations, so that the next run of any of them sweeps what a
killed one left."""

SPARE_BYTES = 256 << 20
"""Room that a run needs beside its inputs: at its end the engine writes all its secret arrays."""

_LOCK = ".lock"


@contextmanager
def private_folder(node_folder: Path, input_bytes: int) -> Iterator[Path]:
    """A new folder (mode 700) for one run of the node that owns `node_folder`; sweeps what a killed run left behind."""
    base = _base(node_folder, SPARE_BYTES + 16 * input_bytes)
    with locked(base / _LOCK):
        for stale in base.glob("run-*"):
            _remove_unless_in_use(stale)
        folder = Path(tempfile.mkdtemp(dir=base, prefix="run-"))
        in_use = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(in_use, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise EngineFailed(
                f"mp-spdz: the run's secret folder {folder} could not be removed ({error}); remove it by hand"
            ) from error
        finally:
            os.close(in_use)


def _base(node_folder: Path, wanted: int) -> Path:
    if _is_memory(MEMORY) and shutil.disk_usage(MEMORY).free >= wanted:
        RUNS.mkdir(mode=0o700, exist_ok=True)
        status = RUNS.lstat()
        # the place is everybody's: whoever else made it first shall not see inside
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077:
            return RUNS
    node_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return node_folder.resolve()


def _is_memory(path: Path) -> bool:
    return any(
        part.mountpoint == str(path) and part.fstype == "tmpfs" for part in psutil.disk_partitions(all=True)
    ) and os.access(path, os.W_OK)


def _remove_unless_in_use(folder: Path) -> None:
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR)
    except FileNotFoundError:
        # its owner was killed between two steps of making it
        shutil.rmtree(folder, ignore_errors=True)
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    else:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
