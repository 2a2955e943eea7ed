"""Plays cases with two processes and keeps each finished run at once, so that an interruption loses none."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.poisoning import results
from benchmarks.poisoning.simulate import Case, run
from pipeline.settings import PROJECT


def play(cases: Sequence[Case], runs: Path, *, processes: int = 2, seconds: float | None = None) -> int:
    """Play what `runs` does not hold yet; stops after about so many seconds. How many are left."""
    missing = results.wanted(cases, runs)
    started = time.monotonic()
    runs.parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(processes) as pool, runs.open("a") as file:
        for first in range(0, len(missing), processes):
            if seconds is not None and time.monotonic() - started > seconds:
                break
            for found in pool.map(run, missing[first : first + processes]):
                file.write(json.dumps(found) + "\n")
                file.flush()
    return len(results.wanted(cases, runs))


def commit() -> str:
    """The commit of the checkout whose code plays."""
    found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=PROJECT, capture_output=True, text=True, check=True)
    return found.stdout.strip()
