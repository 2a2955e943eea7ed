"""Progress of set-up: one line per step, with its seconds; quiet otherwise."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

CONSOLE = Console(highlight=False, soft_wrap=True)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Show a spinner while the block runs and its time when it has ended; silent about what took no time."""
    started = time.monotonic()
    with CONSOLE.status(title):
        yield
    if (seconds := time.monotonic() - started) >= 0.5:
        CONSOLE.print(f"  [green]✓[/green] {title} [dim]{seconds:.1f} s[/dim]")


def note(text: str) -> None:
    """One plain line."""
    CONSOLE.print(f"  {text}")
