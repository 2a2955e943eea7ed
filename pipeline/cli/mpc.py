"""`wardround mpc`: the encrypted computation on this machine."""

from __future__ import annotations

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from pipeline.errors import EngineFailed
from pipeline.mpc.engines import engine
from pipeline.mpc.engines.mp_spdz.profiles import Profile
from pipeline.site.consortium import Consortium
from pipeline.site.settings import Settings

mpc = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Look at the encrypted computation.")

_ROUND_TRIPS_MS = (0, 10, 40)


@mpc.callback()
def _group() -> None:
    """Look at the encrypted computation."""


@mpc.command()
def bench() -> None:
    """Measure the way to the other nodes, and what a small verification costs between parties of this machine."""
    from pipeline.setup.engine.bench import HOSPITALS, SAMPLES, measure, round_trips

    settings = Settings.load()
    console = Console(highlight=False, soft_wrap=True)
    if problems := engine("mp-spdz", settings).problems():
        raise EngineFailed("; ".join(problems))
    slowest = 0.0
    if settings.consortium.exists():
        for name, seconds in round_trips(Consortium.load(settings.consortium)).items():
            slowest = max(slowest, seconds or 0.0)
            console.print(f"{name}: {'no answer' if seconds is None else f'{seconds * 1000:.1f} ms there and back'}")
        console.print(f"layout for these nodes: {Profile.fitting(slowest)}")
    console.print(
        f"MLP 30-64-2, {HOSPITALS + 1} models x {HOSPITALS * SAMPLES} samples, replicated-ring, all parties on this"
        " machine:"
    )
    expected = [f"s expected at {milliseconds} ms" for milliseconds in _ROUND_TRIPS_MS]
    table = Table("layout", "CPU s", "MB", "rounds", *expected, box=SIMPLE_HEAD, padding=0)
    for cost in measure(settings):
        times = [f"{cost.expected(milliseconds / 1000):.2f}" for milliseconds in _ROUND_TRIPS_MS]
        table.add_row(cost.profile, f"{cost.cpu_seconds:.2f}", f"{cost.megabytes:.1f}", str(cost.rounds), *times)
    console.print(table)
