"""Where the `wardround` command starts: Ctrl-C in its first second, while libraries load, ends it without a word."""

from __future__ import annotations

from pipeline.host.interrupts import nothing_begun


def main() -> None:
    """Load the command, and run it."""
    with nothing_begun():
        from pipeline.cli import app

    app()
