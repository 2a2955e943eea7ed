"""The commands of a typer app, as a test walks through them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer


def every(app: typer.Typer) -> Iterator[tuple[str, Any]]:
    """Words that call a command, without the program's name, and the command."""
    yield from _below(typer.main.get_command(app), ())


def _below(group: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        yield " ".join((*words, name)), command
        if hasattr(command, "commands"):
            yield from _below(command, (*words, name))
