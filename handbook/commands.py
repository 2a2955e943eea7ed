"""The command reference: what `--help` says of every command, by typer's own writer."""

from __future__ import annotations

from typing import Any

import typer
from typer.cli import get_docs_for_click

from pipeline.cli import commands

_HELP_OPTION = "* `--help`: Show this message and exit.\n"


def page() -> str:
    """Markdown with a section a command."""
    group = typer.main.get_command(commands)
    _say_whole(group)
    text = get_docs_for_click(obj=group, ctx=typer.Context(group), name="wardround", title="Commands")
    # every command has that option; a heading with nothing else below it would be left behind
    without = text.replace(f"**Options**:\n\n{_HELP_OPTION}\n", "").replace(_HELP_OPTION, "")
    return without.replace("**Usage**:\n\n", "").rstrip() + "\n"


def _say_whole(command: Any) -> None:
    """Keep lists of commands from cutting sentences after 45 letters."""
    command.short_help = command.help
    for subcommand in getattr(command, "commands", {}).values():
        _say_whole(subcommand)
