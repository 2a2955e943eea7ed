"""What `python -m pipeline.…` ends in: a known error is one message on stderr and exit code 1, never a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

from pipeline.errors import WardroundError


def commands() -> typer.Typer:
    """An empty program, to be given commands; a pretty traceback would show local variables."""
    return typer.Typer(pretty_exceptions_enable=False, add_completion=False)


def run(program: typer.Typer | Callable[..., None]) -> None:
    """Run a program of several commands, or one of a single function."""
    if not isinstance(program, typer.Typer):
        single = commands()
        single.command()(program)
        program = single
    try:
        program()
    except WardroundError as error:
        sys.exit(f"error: {error}")
