"""Plays cases with some processes and keeps finished runs at once, with their commit.

So that an interruption loses little.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.poisoning import results
from benchmarks.poisoning.simulate import Case, run
from pipeline.site.settings import PROJECT


def play(cases: Sequence[Case], runs: Path, *, processes: int = 2, seconds: float | None = None) -> int:
    """Play what `runs` does not hold yet; starts nothing after so many seconds. How many are left."""
    missing = results.wanted(cases, runs)
    code = commit()
    deadline = None if seconds is None else time.monotonic() + seconds
    runs.parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(processes) as pool, runs.open("a") as file:
        # one process plays an attack against all defences, whose runs share much of their training
        for played in pool.map(
            partial(_played, deadline),
            [list(group) for _, group in groupby(missing, lambda case: (case.seed, case.attack))],
        ):
            file.writelines(results.line(run | {"commit": code}) for run in played)
            file.flush()
    return len(results.wanted(cases, runs))


def _played(deadline: float | None, cases: Sequence[Case]) -> list[dict[str, Any]]:
    return [run(case) for case in cases if deadline is None or time.monotonic() < deadline]


def commit() -> str:
    """The commit of the checkout whose code plays."""
    answer = subprocess.run(["git", "rev-parse", "HEAD"], cwd=PROJECT, capture_output=True, text=True, check=True)
    return answer.stdout.strip()
