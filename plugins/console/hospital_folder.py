"""A hospital's own folder, where it lies on the machine that the console runs on.

And its own commands, each in a process of its own.

Great Expectations and torch stay out of the server, and so do a hospital's records: a command reads them and answers in
JSON.
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.domain import NAME_PATTERN, HospitalName
from pipeline.errors import Misconfigured, Refused, Rejected, Unavailable
from pipeline.evidence.canonical import read_json
from pipeline.site.identity import Identity
from pipeline.site.settings import PROJECT, Settings
from plugins.console.people import Person

LONGEST_SECONDS = 180
"""So long may a command take before it is ended."""

_GUARD = ("setpriv", "--pdeathsig", "KILL", "--")
_SAID = "wardround: "
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")


def name(who: Person) -> HospitalName:
    """The hospital of a person of one; raises Misconfigured when the account's role names none."""
    if who.hospital is None or not re.fullmatch(NAME_PATTERN, who.hospital):
        raise Misconfigured(f"{who.login}: got a role that names no hospital; the service provider corrects it")
    return who.hospital


def folder(settings: Settings, who: Person) -> Path | None:
    """The hospital's private folder; None where it is not on this machine."""
    home = settings.hospital(name(who))
    return home if (home / "signing-key").exists() else None


def identity(settings: Settings, who: Person) -> Identity:
    """The hospital's worker; raises Refused where its folder is not on this machine."""
    home = folder(settings, who)
    if home is None:
        raise Refused(
            f"the folder of {name(who)} is not on this machine, so its key cannot sign here; type the command on the"
            " hospital's own"
        )
    return Identity.load(home)


def ask(
    settings: Settings, who: Person, *arguments: str, text: str | None = None, seconds: float = LONGEST_SECONDS
) -> Any:
    """What `wardround ... --json` answers for this hospital.

    Raises Rejected, Refused while another one runs, Unavailable.
    """
    home = folder(settings, who)
    if home is None:
        raise Refused(f"the folder of {name(who)} is not on this machine; type the command on the hospital's own")
    with _alone(home):
        try:
            done = subprocess.run(
                [*_GUARD, sys.executable, "-m", "pipeline.cli", *arguments, "--json"],
                cwd=PROJECT,
                env=_environment(settings),
                input=(text or "").encode(),
                capture_output=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(
                f"the command took longer than {seconds:.0f} seconds and was ended; type it on the hospital's machine"
            ) from None
    if done.stdout.strip():
        return read_json(done.stdout)
    said = done.stderr.decode(errors="replace")
    if said.startswith(_SAID):
        raise Rejected(said.removeprefix(_SAID).strip())
    # What else a process says on its end may quote a record.
    raise Unavailable(
        f"the command ended with code {done.returncode} and no answer; type it on the hospital's machine to see why"
    )


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One command of a hospital at a time, by a lock on its folder that leaves no file."""
    handle = os.open(home, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(
                f"{home.name}: another check or prediction of this hospital is running; wait until it has ended"
            ) from None
        yield
    finally:
        os.close(handle)


def _environment(settings: Settings) -> dict[str, str]:
    return {
        **{key: os.environ[key] for key in _KEPT if key in os.environ},
        **settings.environment,
        "OMP_NUM_THREADS": "1",
    }
