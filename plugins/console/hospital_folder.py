"""A hospital's own folder, where it lies on the machine that the console runs on.

And its own commands, each in a process of its own: its records stay out of the server, and a command that reads them
answers in JSON.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pipeline.domain import NAME_PATTERN, HospitalName
from pipeline.errors import Misconfigured, Refused
from pipeline.evidence.canonical import read_json
from pipeline.site.identity import Identity
from pipeline.site.settings import Settings
from plugins.console import command
from plugins.console.people import Person

LONGEST_SECONDS = 180
"""So long may a command take before it is ended."""


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
    with command.alone(home, "another check or prediction of this hospital"):
        return read_json(command.answered(settings, *arguments, "--json", text=text, seconds=seconds))
