"""How set-up works: each result is made once, by one process at a time, and counts only when it is whole."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import Misconfigured
from pipeline.host.files import locked, scratch
from pipeline.site.settings import PROJECT

STAMP = ".wardround"
"""In a finished folder: what it was made from."""


@contextmanager
def stamped(folder: Path, *contents: str) -> Iterator[bool]:
    """Whether `folder` was already finished from one of `contents`.

    If not, it is marked as finished from the first of them when the block ends well. A second process waits for the
    first one, and then finds its work done.
    """
    stamp = folder / STAMP
    if stamp.exists() and stamp.read_text() in contents:
        # Without the lock, which whoever runs services from another user's checkout may not make.
        yield True
        return
    with locked(folder.with_name(f"{folder.name}.lock")):
        fresh = stamp.exists() and stamp.read_text() in contents
        if not fresh:
            stamp.unlink(missing_ok=True)
        yield fresh
        if not fresh:
            stamp.write_text(contents[0])


def built(wanted: Path, build: Callable[[Path], Path]) -> Path:
    """The file `wanted`, which `build` makes in an empty folder that it is given unless it is there."""
    if not wanted.exists():
        # The folder lies in the cache, so that the finished file can be renamed into place.
        cache = wanted.parent.parent
        with locked(cache.with_name(f"{cache.name}.lock")):
            if not wanted.exists():
                wanted.parent.mkdir(parents=True, exist_ok=True)
                with scratch(cache, "building") as folder:
                    build(folder).replace(wanted)
    return wanted


def digest(*files: Path) -> str:
    """SHA-256 over the bytes of `files`, each after the digest of those before it."""
    total = hashlib.sha256()
    for file in files:
        total = hashlib.sha256(total.digest() + file.read_bytes())
    return total.hexdigest()


def run(command: Sequence[str | Path], what: str, env: Mapping[str, str] | None = None, folder: Path = PROJECT) -> str:
    """Run `command` quietly in `folder`, its output; raises Misconfigured with the output's end when it fails."""
    unwanted = {"PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "PYTHONPATH"}
    environment = {key: value for key, value in os.environ.items() if key not in unwanted} | dict(env or {})
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise Misconfigured(f"could not {what}: {command[0]}: {error.strerror}") from error
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise Misconfigured(f"could not {what} (exit {done.returncode}):\n{said}")
    return done.stdout
