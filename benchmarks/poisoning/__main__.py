"""Runs a cell of the matrix: `python -m benchmarks.poisoning --cell base`; what is done is not done again."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

# before numpy starts its threads: two processes of one thread each use two cores best
os.environ.setdefault("OMP_NUM_THREADS", "1")

import typer

from benchmarks.poisoning import results
from benchmarks.poisoning.campaign import play
from benchmarks.poisoning.cells import CELLS
from pipeline.host import program
from pipeline.host.files import write_atomic


def main(
    cell: Annotated[list[str], typer.Option(help=f"one of {', '.join(CELLS)}; may be given again")],
    defence: Annotated[
        list[str] | None, typer.Option(help="of these defences alone, such as those that a change touched")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, max=2)] = 2,
    seconds: Annotated[float | None, typer.Option(help="stop after so many seconds; the next call goes on")] = None,
    fresh: Annotated[bool, typer.Option(help="forget the finished runs of these cells first")] = False,
    runs: Annotated[Path, typer.Option(help="where finished runs are kept")] = results.RUNS,
    out: Annotated[Path, typer.Option(help="rows to write")] = results.ROWS,
) -> None:
    """Run what is missing of the cells and write the rows."""
    # cells overlap, and what two of them want is played once
    cases = list(dict.fromkeys(case for name in cell for case in CELLS[name].cases()))
    cases = [case for case in cases if not defence or case.defence in defence]
    if fresh and runs.exists():
        again = {results.key(vars(case)) for case in cases}
        kept = "".join(results.line(run) for run_key, run in results.read(runs).items() if run_key not in again)
        write_atomic(runs, kept.encode())
    started = time.monotonic()
    left = play(cases, runs, processes=processes, seconds=seconds)
    results.write_rows(results.read(runs).values(), out)
    typer.echo(f"{len(cases) - left} of {len(cases)} runs done, {left} left; {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    program.run(main)
