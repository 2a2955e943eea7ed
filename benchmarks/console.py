"""How fast the console's pages answer with a long past: `python -m benchmarks.console [--rounds N] [--hospitals N]`.

The newest round is whole, signed by everybody, in a ledger and a store in memory; the others are like it, in the index
alone, as it holds settled rounds. Chain and store cost nothing here: what is measured is the console's own work on
every page that a list can make long.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.domain import RoundId
from pipeline.host import program
from pipeline.host.files import write_atomic
from pipeline.report.round_view import RoundView
from tests.support.archive import Archive, many
from tests.support.console import PROVIDER, of_hospital

RESULTS = Path(__file__).parent / "results" / "console.json"
WANTED_MS = 300
_REPEATS = 7


def paths(newest: RoundView) -> tuple[str, ...]:
    """Every page that shows rounds, with and without its filter."""
    number = newest.round
    study = newest.study
    return (
        "/",
        "/rounds",
        f"/rounds?study={study}&status=finalised&page=20",
        f"/rounds/{number}",
        f"/rounds/{number}/timeline",
        f"/rounds/{number}/audit",
        f"/accuracy?study={study}",
        "/poisoning",
        f"/poisoning?study={study}&verdict=rejected&page=9",
        "/poisoning?hospital=hospital-07&from=100&to=900",
        "/poisoning.csv",
        "/baselines",
        f"/which-model?sha256={newest.model}",
        "/studies",
        f"/studies/{study}",
        "/start",
        "/experiments",
        f"/experiments/{study}",
        "/log",
        "/register",
    )


HOSPITALS_PATHS = ("/hospital", "/hospital?page=20", "/hospital/check", "/hospital/predict")
"""As the first hospital sees them. Pages about people ask Airflow's own database, which no round makes longer."""


def main(
    rounds: Annotated[int, typer.Option(min=1)] = 1000, hospitals: Annotated[int, typer.Option(min=3)] = 50
) -> None:
    """Measure, print and write results/console.json."""
    with tempfile.TemporaryDirectory(prefix="wardround-console-") as folder:
        archive = Archive(Path(folder) / "home", hospitals=hospitals, nodes=4)
        rejected = [archive.of.hospitals[index] for index in (7, 8) if index < hospitals - 2]
        archive.maker.finish(RoundId(rounds), rejected=rejected)
        newest = archive.index.get(RoundId(rounds))
        archive.pretend([*many(newest, rounds - 1), newest])
        rows = {}
        for who, path in (
            *((PROVIDER, path) for path in paths(newest)),
            *((of_hospital(archive.of.hospitals[0]), path) for path in HOSPITALS_PATHS),
        ):
            rows[path] = _measured(archive.pages(who), path)
            typer.echo(f"{rows[path]['median_ms']:8.1f} ms  {rows[path]['kilobytes']:8.1f} kB  {path}")
    slow = [path for path, row in rows.items() if row["median_ms"] >= WANTED_MS]
    content = {
        "rounds": rounds,
        "hospitals": hospitals,
        "repeats": _REPEATS,
        "machine": {"cpus": os.cpu_count(), "processor": platform.machine(), "python": platform.python_version()},
        "pages": rows,
        "slower_than_wanted": slow,
    }
    write_atomic(RESULTS, (json.dumps(content, indent=2) + "\n").encode())


def _measured(pages: Any, path: str) -> dict[str, float]:
    """Median and worst of some answers after one that nobody counts."""
    pages.get(path)
    seconds = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        answer = pages.get(path)
        seconds.append(time.perf_counter() - started)
        assert answer.status_code == 200, (path, answer.status_code)
    return {
        "median_ms": round(1000 * statistics.median(seconds), 1),
        "worst_ms": round(1000 * max(seconds), 1),
        "kilobytes": round(len(answer.content) / 1000, 1),
    }


if __name__ == "__main__":
    program.run(main)
