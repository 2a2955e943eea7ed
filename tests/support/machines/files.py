"""What a member's machine has of this machine's files: all that rounds need, to be read only, and its own folders.

People's homes, run-time files, other members' folders and this checkout's own installation are not there.
"""

from __future__ import annotations

import os
import pwd
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.site.settings import PROJECT, Settings

_STAGE = "/mnt"
"""Where what is kept waits while what lies around it is covered."""

_PASS = 0o001
"""Whether others may pass a folder."""


def shell(own: Mapping[Path, Path], lab: Path) -> Sequence[str]:
    """Lines for root of a new mount namespace; `own` says what lies where, `lab` has all members' folders."""
    tools = _tools()
    # What is ours first, a checkout may lie below /tmp, too; but last what lies within what is to be read only.
    within = [item for item in own.items() if any(tool in item[1].parents for tool in tools)]
    kept = [*(item for item in own.items() if item not in within), *((tool, tool) for tool in tools), *within]
    empty = {
        Path("/home"),
        Path("/run"),
        Path(pwd.getpwuid(os.getuid()).pw_dir),
        lab,
        *filter(None, map(_closed, tools)),
    }
    installations = [PROJECT / name for name in (".wardround", "build")]
    return [
        "umask 022",
        _covered(_STAGE),
        *(line for index, (source, _) in enumerate(kept) for line in _bound(source, f"{_STAGE}/{index}", source)),
        # One that lay in another is gone already.
        *(f"! test -d {_quoted(folder)} || {_covered(folder)}" for folder in sorted(empty)),
        _covered("/dev/shm", mode=1777),  # noqa: S108
        *(line for index, (source, to) in enumerate(kept) for line in _bound(f"{_STAGE}/{index}", to, source)),
        *(_covered(folder) for folder in installations if folder.is_dir()),
        f"umount --recursive --lazy {_STAGE}",
        *(
            f"! mountpoint --quiet {_quoted(folder)} || mount -o remount,bind,ro {_quoted(folder)}"
            for folder in (Path("/"), *tools, *sorted(empty))
        ),
    ]


def _tools() -> Sequence[Path]:
    """All that commands, workers and services run from."""
    settings = Settings.load()
    pythons = {Path(os.path.realpath(python)).parents[1] for python in PROJECT.glob(".venv*/bin/python")}
    return [place for place in (PROJECT, settings.cache, settings.mp_spdz, *settings.data, *pythons) if place.exists()]


def _closed(place: Path) -> Path | None:
    """The uppermost folder above that others may not pass."""
    return next((folder for folder in reversed(place.parents) if not folder.stat().st_mode & _PASS), None)


def _covered(folder: Path | str, mode: int = 755) -> str:
    return f"mount -t tmpfs -o mode={mode} none {_quoted(folder)}"


def _bound(source: Path | str, to: Path | str, like: Path) -> Sequence[str]:
    """Lay a source over a place that need not be there yet."""
    place = _quoted(to)
    return [
        f"test -e {place} || {'mkdir -p' if like.is_dir() else 'touch'} {place}",
        f"mount --rbind {_quoted(source)} {place}",
    ]


def _quoted(place: Path | str) -> str:
    return shlex.quote(str(place))
