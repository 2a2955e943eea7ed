"""Bytecode of our MP-SPDZ programs: compiled once per shape, sources and compiler, and kept in the user's cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.domain import Sha256
from pipeline.errors import EngineFailed
from pipeline.evidence.canonical import digest, sha256
from pipeline.host.files import locked, scratch
from pipeline.layers import Network
from pipeline.layers.table import to_plain
from pipeline.mpc.engines.mp_spdz.profiles import Profile
from pipeline.site.settings import PROJECT

PROGRAMS = PROJECT / "mpc-programs"

COMPILE_SECONDS = 900.0
"""A compilation takes seconds; one that takes so long is stuck."""

_OPTIONS = ("-M", "-R", "64")
"""-M keeps the order of memory accesses: without it the compiler reorders them and the results are wrong."""


def shape(
    network: Network,
    *,
    nodes: int,
    hospitals: int,
    samples: int,
    largest_input: int,
    profile: Profile,
    names_condition: bool,
    panel: int | None,
) -> Mapping[str, Any]:
    """What the compiler must know (`wardround_mpc.task` reads it): sizes and layout only, no value of a round."""
    sizes = {
        "nodes": nodes,
        "hospitals": hospitals,
        "samples": samples,
        "largest_input": largest_input,
        "profile": profile.value,
    }
    return sizes | {"network": to_plain(network), "names_condition": names_condition, "panel": panel}


def program_digest(installation: Path) -> Sha256:
    """SHA-256 over everything that decides what the parties compute: our sources and the installed compiler's."""
    files = {
        PROGRAMS: ["*.mpc", "wardround_mpc/*.py"],
        PROJECT: ["pipeline/layers/*.py", "pipeline/mpc/rule.py", "pipeline/mpc/sorting.py", "pipeline/domain.py"],
        installation: ["compile.py", "Compiler/**/*.py"],
    }
    contents = {
        f"{number} {file.relative_to(root)}": sha256(file.read_bytes())
        for number, (root, patterns) in enumerate(files.items())
        for pattern in patterns
        for file in root.glob(pattern)
    }
    return digest(contents | {"options": list(_OPTIONS)})


def installed_digest(installation: Path, protocol: str) -> Sha256:
    """SHA-256 over `program_digest` and the installed party of this protocol, with the library that it loads.

    Raises EngineFailed.
    """
    party = installation / f"{protocol}-party.x"
    try:
        files = [party, *sorted(installation.glob("libSPDZ.so"))]
        return digest(
            {"programs": program_digest(installation)} | {file.name: sha256(file.read_bytes()) for file in files}
        )
    except OSError as error:
        raise EngineFailed(f"mp-spdz: {party}: {error.strerror}; run `wardround doctor`") from error


def compiled(name: str, task: Mapping[str, Any], *, installation: Path, cache: Path, sources: Path = PROGRAMS) -> Path:
    """Folder with Bytecode/ and Schedules/ of program `name` for `task`.

    Raises EngineFailed when it does not compile.
    """
    key = digest({"program": name, "sources": program_digest(installation), "task": task})
    folder = cache / "mp-spdz" / f"{name}-{key[:32]}"
    if not folder.is_dir():
        with locked(folder.with_suffix(".lock")):
            if not folder.is_dir():
                _compile(sources / f"{name}.mpc", json.dumps(task).encode(), folder, installation)
    return folder


def bytecode_digest(folder: Path) -> Sha256:
    """SHA-256 over the name of what `compiled` gave and over its bytecode.

    The schedules name folders of this machine.
    """
    return digest({folder.name: {file.name: sha256(file.read_bytes()) for file in (folder / "Bytecode").iterdir()}})


def _compile(source: Path, task: bytes, folder: Path, installation: Path) -> None:
    with scratch(folder.parent, "compiling") as aside:
        (aside / "task.json").write_bytes(task)
        paths = os.pathsep.join([str(PROJECT), str(PROGRAMS)])
        command = [sys.executable, str(installation / "compile.py"), *_OPTIONS, str(source)]
        try:
            done = subprocess.run(
                command,
                cwd=aside,
                env={"PATH": os.defpath, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=COMPILE_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EngineFailed(f"mp-spdz: {source.name} did not compile: {error}") from error
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise EngineFailed(
                f"mp-spdz: {source.name} did not compile ({last}); run `{' '.join(command)}` in a folder with task.json"
                " to see why"
            )
        (aside / "Programs").rename(folder)
