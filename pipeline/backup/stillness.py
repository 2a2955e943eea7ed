"""A moment at which nothing of a site runs, and nothing ends: each process of its services is stopped, then goes on.

What lies on the disk then is what a power cut at that moment would leave, for all services at once. That is the state
from which each of them starts without loss: see ADR 28.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from pipeline.errors import Refused, Unavailable
from pipeline.services.supervisor import Supervisor

_LONGEST_SECONDS = 20.0
"""For a process to stop that waits for a disk."""
_STILL = (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)

_WAKES = """
import os, signal, sys
numbers = [int(line) for line in sys.stdin]
for number in numbers:
    try:
        os.kill(number, signal.SIGCONT)
    except OSError:
        pass  # ended, or not ours: the others go on all the same
"""
"""Lets the processes go on whose numbers it was told, once nobody can tell it any more: also when we were killed."""


@contextmanager
def still(manager: Supervisor) -> Iterator[None]:
    """Let no process of the installation's services run within the block.

    They go on when the block ends, and when this process does, however it ends. Raises Unavailable for one that does
    not stop, Refused where services run that this process does not see, or may not stop.
    """
    if manager.running() and not manager.processes():
        raise Refused(
            "got services that run out of this command's sight, as in another container: give it where they run"
            " (`docker compose exec`), or after `wardround down`"
        )
    waker = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _WAKES], stdin=subprocess.PIPE, text=True, start_new_session=True
    )
    assert waker.stdin is not None  # noqa: S101
    stopped: dict[int, psutil.Process] = {}
    try:
        # Until none is left that one of them began meanwhile.
        while fresh := [process for process in manager.processes() if process.pid not in stopped]:
            for process in fresh:
                waker.stdin.write(f"{process.pid}\n")
                waker.stdin.flush()
                stopped[process.pid] = process
                _suspend(process)
            _await(fresh)
        yield
    finally:
        waker.stdin.close()
        waker.wait()


def _suspend(process: psutil.Process) -> None:
    try:
        process.suspend()
    except psutil.NoSuchProcess:
        pass  # it has ended
    except psutil.AccessDenied as error:
        raise Refused(
            f"process {process.pid} of the site: got one of another user, which this one may not stop: give the command"
            " as the user who gave `wardround up`, or after `wardround down`"
        ) from error


def _await(processes: list[psutil.Process]) -> None:
    deadline = time.monotonic() + _LONGEST_SECONDS
    while running := [process for process in processes if not _is_still(process)]:
        if time.monotonic() > deadline:
            raise Unavailable(
                f"process {running[0].pid} of the site did not stop within {_LONGEST_SECONDS:.0f} s; its disk may be"
                " at its limit: try again"
            )
        time.sleep(0.01)


def _is_still(process: psutil.Process) -> bool:
    try:
        return process.status() in _STILL
    except psutil.NoSuchProcess:
        return True
