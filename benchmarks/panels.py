"""What fifty hospitals cost beside five: where all try every model, and where each model has a panel.

`python -m benchmarks.panels` writes results/panels.json: CPU seconds and bytes of all nodes together on this machine,
each verification equal to the reference, and its ratio to the same engine's for five hospitals in the same run.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.work import Cell, measure
from pipeline.domain import tries
from pipeline.host.files import write_atomic
from pipeline.mpc import panels

RESULTS = Path(__file__).parent / "results" / "panels.json"

_PROTOCOLS = ("replicated-ring", "rep4-ring", "aby3")
_FIVE = Cell("small CNN, average", "replicated-ring", 5, 32, False)
_MANY = (
    replace(_FIVE, hospitals=20, panel=5),
    replace(_FIVE, hospitals=50, panel=5),
    replace(_FIVE, hospitals=50, samples=16, panel=11),
)
_EVERYBODY = replace(_FIVE, hospitals=50)
"""Measured under one protocol: it takes minutes, and what it shows is a count."""

SIZES = (20, 50, 100, 200)
PANELS = (3, 5, 7, 9, 11, 15)
_PERCENT_LIARS = (10, 20, 30)


def rows() -> list[dict[str, Any]]:
    """Of each protocol the five hospitals first."""
    found = []
    for protocol in _PROTOCOLS:
        first = None
        for cell in (_FIVE, *_MANY, *([_EVERYBODY] if protocol == _EVERYBODY.protocol else [])):
            row = measure(replace(cell, protocol=protocol))
            first = first or row
            found.append(
                {
                    "protocol": protocol,
                    "model": cell.model,
                    "hospitals": cell.hospitals,
                    "samples": cell.samples,
                    "panel": cell.panel,
                    "tries": tries(cell.hospitals, cell.samples, cell.panel),
                    "cpu_s": row.cpu_s,
                    "mb": row.mb,
                    "cpu_ratio": round(row.cpu_s / first.cpu_s, 1),
                    "mb_ratio": round(row.mb / first.mb, 1),
                }
            )
            print(json.dumps(found[-1]), flush=True)
    return found


def odds() -> list[dict[str, Any]]:
    """How often a model's panel is misled, by hospitals and how many of them lie together."""
    return [
        {
            "hospitals": hospitals,
            "liars": hospitals * percent // 100,
            "misled": {
                str(panel): panels.misled(hospitals, hospitals * percent // 100, panel)
                for panel in PANELS
                if panel < hospitals
            },
        }
        for hospitals in SIZES
        for percent in _PERCENT_LIARS
    ]


if __name__ == "__main__":
    write_atomic(RESULTS, (json.dumps({"rows": rows(), "odds": odds()}, indent=2) + "\n").encode())
