"""Progress of set-up: one line per step, with its seconds; quiet otherwise."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

CONSOLE = Console(highlight=False, soft_wrap=True)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Show a spinner while the block runs and its time when it has ended; silent about what took no time."""
    started = time.monotonic()
    with CONSOLE.status(title):
        yield
    if (seconds := time.monotonic() - started) >= 0.5:
        CONSOLE.print(f"  [green]✓[/green] {title} [dim]{seconds:.1f} s[/dim]")


def transfers() -> Progress:
    """Bars of files that come in, drawn while the block runs and gone afterwards; on a terminal only."""
    columns = (TextColumn("  {task.description}"), BarColumn(), DownloadColumn())
    return Progress(*columns, console=CONSOLE, transient=True, disable=not CONSOLE.is_terminal)


def note(text: str) -> None:
    """One plain line."""
    CONSOLE.print(f"  {text}")
