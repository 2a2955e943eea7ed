"""Where engines and data lie: what `wardround up` writes into the installation, and what a shell says otherwise."""

from __future__ import annotations

from typing import NamedTuple

from pipeline.site.installation import Folders, Installation
from pipeline.site.settings import VARIABLES, Settings


class FolderSetting(NamedTuple):
    """Where something lies."""

    variable: str
    """The environment variable that names it."""
    where: str
    why: str


class FolderDifference(NamedTuple):
    """What two settings say of one variable."""

    variable: str
    one: str
    other: str


def write_down(settings: Settings, release: str | None = None) -> tuple[Installation, list[FolderDifference]]:
    """Write these settings into the installation; returns it, and what that changes.

    The caller holds the installation's lock. `release` is the SHA-256 of the MP-SPDZ that was just put into its folder;
    that of another folder is forgotten.
    """
    installation = Installation.load(settings.installation)
    before = Settings.load(settings.home)
    if release is None and settings.mp_spdz == before.mp_spdz:
        release = installation.mp_spdz_release
    folders = Folders(**settings.folders)
    new = installation.model_copy(update={"folders": folders, "mp_spdz_release": release})
    if new != installation:
        new.save(settings.installation)
    return new, differences(before, settings)


def folder_settings(settings: Settings) -> list[FolderSetting]:
    """Where everything lies for this installation's commands and workers."""
    installation = Installation.load(settings.installation)
    written = {} if installation.folders is None else installation.folders.given
    usual = "by the environment, else by default" if installation.folders is None else "by default"
    why = dict.fromkeys(VARIABLES, usual) | dict.fromkeys(written, f"as {settings.installation.name} says")
    if installation.mp_spdz_release:
        why["mp_spdz"] += f"; release {installation.mp_spdz_release[:16]}"
    return [FolderSetting(variable, settings.environment[variable], why[name]) for name, variable in VARIABLES.items()]


def differences(one: Settings, other: Settings) -> list[FolderDifference]:
    """The variables of which the two say different things."""
    compared = [
        FolderDifference(variable, one.environment[variable], other.environment[variable])
        for variable in VARIABLES.values()
    ]
    return [difference for difference in compared if difference.one != difference.other]
