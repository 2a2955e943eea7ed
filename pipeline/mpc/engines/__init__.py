"""Engines of encrypted computation, behind one interface; a study names one and nothing substitutes it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator

from pipeline.mpc.engines.base import Engine
from pipeline.site.settings import Settings


def engines_among(folders: Iterable[str]) -> Iterator[type[Engine]]:
    """Every engine among the folders of this package: the class with a name in its file `engine.py`."""
    for package in sorted(module.name for module in pkgutil.iter_modules(folders) if module.ispkg):
        if any(
            module.name == "engine" for module in pkgutil.iter_modules([f"{folder}/{package}" for folder in folders])
        ):
            for member in vars(importlib.import_module(f"{__package__}.{package}.engine")).values():
                if isinstance(member, type) and issubclass(member, Engine) and "name" in vars(member):
                    yield member


ENGINES: dict[str, type[Engine]] = {kind.name: kind for kind in engines_among(__path__)}
"""Name in a study file to engine."""


def engine(name: str, settings: Settings) -> Engine:
    """The engine of that name on this machine."""
    return ENGINES[name](settings)


__all__ = ["ENGINES", "Engine", "engine", "engines_among"]
