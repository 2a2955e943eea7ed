"""Interrupts in a process that a test starts.

Whoever runs tests in the background has them ignored, and children inherit that.
"""

from __future__ import annotations

import signal


def heed_interrupts() -> None:
    """For `preexec_fn`: let SIGINT do what it does at a terminal."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
