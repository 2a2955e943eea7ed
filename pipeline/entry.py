"""Where the `wardround` command starts: Ctrl-C in its first second, while libraries load, ends it without a word."""

from __future__ import annotations

import signal


def main() -> None:
    """Load the command, and run it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from pipeline.cli import app

    signal.signal(signal.SIGINT, signal.default_int_handler)
    app()
