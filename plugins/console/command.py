"""A `wardround` command in a process of its own: Great Expectations and torch stay out of the server."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import Refused, Rejected, Unavailable
from pipeline.site.settings import PROJECT, Settings

_GUARD = ("setpriv", "--pdeathsig", "KILL", "--")
_SAID = "wardround: "
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")


def answered(settings: Settings, *arguments: str, text: str | None = None, seconds: float) -> bytes:
    """What the command prints, whatever its code; raises Rejected with its own message, Unavailable where it has none.

    Only a command that prints on its success may be asked.
    """
    try:
        done = subprocess.run(
            [*_GUARD, sys.executable, "-m", "pipeline.cli", *arguments],
            cwd=PROJECT,
            env=_environment(settings),
            input=(text or "").encode(),
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(
            f"the command took longer than {seconds:.0f} seconds and was ended; type it on the machine itself"
        ) from None
    if done.stdout.strip():
        return done.stdout
    said = done.stderr.decode(errors="replace")
    if said.startswith(_SAID):
        raise Rejected(said.removeprefix(_SAID).strip())
    # What else a process says on its end may quote a record.
    raise Unavailable(
        f"the command ended with code {done.returncode} and no answer; type it on the machine itself to see why"
    )


@contextmanager
def alone(folder: Path, other: str) -> Iterator[None]:
    """One command of a folder's owner at a time, by a lock that leaves no file; raises Refused naming the `other`."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"{folder.name}: {other} is running; wait until it has ended") from None
        yield
    finally:
        os.close(handle)


def _environment(settings: Settings) -> dict[str, str]:
    return {
        **{key: os.environ[key] for key in _KEPT if key in os.environ},
        **settings.environment,
        "OMP_NUM_THREADS": "1",
    }
