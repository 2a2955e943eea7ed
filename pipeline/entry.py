"""Where the `wardround` command starts: Ctrl-C in its first second, while libraries load, ends it without a word."""

from __future__ import annotations

import signal

from pipeline.host.interrupts import nothing_begun


def main() -> None:
    """Load the command, and run it."""
    try:
        with nothing_begun():
            from pipeline.cli import app

        app()
    except KeyboardInterrupt:  # between loading and the command, which has its own word for it
        raise SystemExit(128 + signal.SIGINT) from None
