"""The code that decides a round's result, by its digests: what owners approve beside a study's own fields.

Covered are the modules that the round's steps import, as grimp reads them from the source, the programs under
encryption, the contract's interface and the locked packages that run. The command line, set-up, console, reports and
tools for developers decide nothing (docs/adr/0018-rooms-and-what-the-digest-covers.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import grimp

from pipeline.domain import Sha256
from pipeline.evidence.canonical import digest, sha256
from pipeline.round_steps import ROUND
from pipeline.site.settings import PROJECT

SCHEME = 1
"""How the digests are made. It grows when that changes, so that no digest of before is taken for one of today."""

STEPS = tuple(sorted({step.function.partition(":")[0] for step in ROUND if step.decides}))
"""The modules in which the steps begin."""

_LOADED_BY_NAME = ("pipeline.datasets", "pipeline.layers", "pipeline.mpc.engines")
"""Packages whose tables find a file by its name: no import names it, and each of them can decide a result."""

_BESIDE = {
    "programs under encryption": ("mpc-programs/**/*.mpc", "mpc-programs/**/*.py"),
    "interface of the contract": ("contracts/abi/*.json",),
    "packages": ("requirements/main.txt", "requirements/spu.txt"),
}
"""What decides beside our own modules, by the name that owners read."""


@cache
def code_digest() -> Mapping[str, Any]:
    """What `code_terms` says of this checkout: read once, since a process goes on with the code that it loaded."""
    return code_terms(PROJECT)


def code_terms(project: Path) -> dict[str, Any]:
    """The scheme, and a SHA-256 of each part's deciding files."""
    parts = {part: _digest(project, files) for part, files in deciding_files(project).items()}
    return {"scheme": SCHEME, "parts": parts}


def deciding_files(project: Path) -> dict[str, set[Path]]:
    """Part to its files: a package of `pipeline` each, then what stands beside."""
    parts: dict[str, set[Path]] = {}
    for module in closure(STEPS):
        file = _file(project, module)
        parts.setdefault(".".join(module.split(".")[:2]), set()).add(file)
    for part, patterns in _BESIDE.items():
        parts[part] = {file for pattern in patterns for file in project.glob(pattern)}
    return parts


def closure(steps: Iterable[str]) -> set[str]:
    """Every module that these modules import, however far away.

    Also the packages that hold them, whose own code runs first.
    """
    graph = grimp.build_graph("pipeline", cache_dir=None)
    roots = {*steps, *(module for package in _LOADED_BY_NAME for module in (package, *graph.find_descendants(package)))}
    modules: set[str] = set()
    while roots:
        modules |= roots.union(*(graph.find_upstream_modules(root) for root in roots))
        roots = set().union(*(_packages(module) for module in modules)) - modules
    return modules


def _packages(module: str) -> set[str]:
    names = module.split(".")
    return {".".join(names[:end]) for end in range(1, len(names))}


def _file(project: Path, module: str) -> Path:
    path = project.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _digest(project: Path, files: Iterable[Path]) -> Sha256:
    return digest({str(file.relative_to(project)): sha256(file.read_bytes()) for file in files})
