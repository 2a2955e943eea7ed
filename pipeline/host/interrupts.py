"""Ctrl-C while libraries load, before anything has begun."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def nothing_begun() -> Iterator[None]:
    """Let an interrupt end the process at once and without a word, unless its parent asked that it be ignored."""
    wanted = signal.getsignal(signal.SIGINT)
    if wanted is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, wanted)
