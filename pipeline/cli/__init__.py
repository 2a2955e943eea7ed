"""The `wardround` command: one line per outcome, one clear message per error."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from functools import cache
from typing import Any, cast

import typer
from typer.core import TyperGroup

from pipeline.errors import WardroundError
from pipeline.host.interrupts import nothing_begun

_WHERE = {
    "up": "services:up",
    "down": "services:down",
    "status": "services:status",
    "doctor": "services:doctor",
    "backup": "backup:backup",
    "restore": "backup:restore",
    "run": "runs:run",
    "demo": "demo:demo",
    "rounds": "audit:rounds",
    "show": "audit:show",
    "audit": "audit:audit",
    "predict": "models:predict",
    "report": "proof:report",
    "proof": "proof:proof",
    "verify": "proof:verify",
    "commit-directly": "decisions:commit_directly",
    "study": "studies:studies",
    "mpc": "mpc:mpc",
    "engine": "engine:engine",
    "data": "data:data",
    "model": "models:models",
    "release": "decisions:release",
    "site": "site:site",
    "notices": "notices:notices",
    "ledger": "ledger:ledger",
    "enrol": "enrol:enrol",
    "key": "keys:key",
    "nodes": "nodes:nodes",
    "provider": "provider:provider",
}
"""A command, or a group of them, to its module here and its name in it."""


@cache
def _command(word: str) -> Any:
    module, _, name = _WHERE[word].partition(":")
    with nothing_begun():
        loaded = getattr(importlib.import_module(f"pipeline.cli.{module}"), name)
    alone = typer.Typer()
    if isinstance(loaded, typer.Typer):
        alone.add_typer(loaded, name=word)
    else:
        alone.command(word)(loaded)
    return typer.main.get_group(alone).commands[word]


class Commands(Mapping[str, Any]):
    """Each command loads its module when it is asked for: what another needs takes seconds."""

    def __getitem__(self, word: str) -> Any:
        return _command(word)

    def __iter__(self) -> Iterator[str]:
        return iter(_WHERE)

    def __len__(self) -> int:
        return len(_WHERE)


class _Group(TyperGroup):
    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands = cast(MutableMapping[str, Any], Commands())


commands = typer.Typer(
    name="wardround", cls=_Group, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


@commands.callback()
def _wardround() -> None:
    """Verified federated-learning rounds for hospital consortia."""


def app() -> None:
    """Entry point: a known error is one message on stderr and exit code 2, never a traceback."""
    try:
        commands()
    except (WardroundError, OSError) as error:  # of the system's: no right to a file, no room on the disk
        sys.stderr.write(f"wardround: {error}\n")
        raise SystemExit(2) from None
