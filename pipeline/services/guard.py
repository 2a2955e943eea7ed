"""The object store behind its guard: `python -m pipeline.services.guard HOST:PORT GUARD... -- SERVER...`.

Standard library only.

The guard listens at the address, the server where the guard alone reaches it. `--shut-in` before the address gives both
a network of their own: a namespace that has nothing but loopback, and into which the guard takes the socket that was
opened outside. When either of them ends, so does the other.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence

from pipeline.host import namespace

SHUT_IN = "--shut-in"
LISTENS = "GUARD_LISTENS"
"""Environment variable that tells the guard where."""

_MORTAL = ("setpriv", "--pdeathsig", "KILL")
"""Runs a command that the kernel ends together with its parent."""


def listening(address: str) -> int:
    """File descriptor of a socket that listens at `HOST:PORT`, for this process and those that it becomes."""
    host, _, port = address.rpartition(":")
    made = socket.create_server((host, int(port)), backlog=128)
    made.set_inheritable(True)
    return made.detach()


def run(listener: int, guard: Sequence[str], server: Sequence[str]) -> int:
    """Run both until one of them ends; the exit code, which is never 0."""
    behind = subprocess.Popen([*_MORTAL, *server])
    before = subprocess.Popen([*_MORTAL, *guard], env={**os.environ, LISTENS: f"fd/{listener}"}, pass_fds=[listener])
    ended, _ = os.wait()
    for left in (behind, before):
        if left.pid != ended:
            left.terminate()
            left.wait()
    return 1


def main(arguments: Sequence[str]) -> int:
    """Command line; run once more from within the namespace, with the number of the socket in place of its address."""
    if arguments[0] == SHUT_IN:
        inside = [sys.executable, "-m", "pipeline.services.guard", str(listening(arguments[1])), *arguments[2:]]
        os.execvp(namespace.ALONE[0], [*namespace.ALONE, *inside])  # noqa: S606
    split = arguments.index("--")
    if arguments[0].isdecimal():
        namespace.raise_loopback()
        listener = int(arguments[0])
    else:
        listener = listening(arguments[0])
    return run(listener, arguments[1:split], arguments[split + 1 :])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
