"""Where the `wardround` command starts: Ctrl-C in its first second, while libraries load, ends it without a word."""

from __future__ import annotations

import signal


def main() -> None:
    """Load the command, and run it."""
    wanted = signal.getsignal(signal.SIGINT)
    if wanted is signal.default_int_handler:  # not where the parent asked that interrupts be ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing has begun, so the process may just end
    from pipeline.cli import app

    signal.signal(signal.SIGINT, wanted)
    app()
