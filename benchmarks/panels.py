"""What fifty hospitals cost beside five: where all try every model, and where each model has a panel.

`python -m benchmarks.panels [PROTOCOL ...]` measures these protocols, or all, anew, and writes results/panels.json: CPU
seconds and bytes of all nodes together on this machine, each verification equal to the reference, and its ratio to the
same protocol's for five hospitals in the same run.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

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


def measured(protocol: str) -> list[dict[str, Any]]:
    """The rows of one protocol, five hospitals first."""
    cells = [_FIVE, *_MANY, *([_EVERYBODY] if protocol == _EVERYBODY.protocol else [])]
    rows = [measure(replace(cell, protocol=protocol)) for cell in cells]
    return [
        {
            "protocol": protocol,
            "model": row.cell.model,
            "hospitals": row.cell.hospitals,
            "samples": row.cell.samples,
            "panel": row.cell.panel,
            "tries": tries(row.cell.hospitals, row.cell.samples, row.cell.panel),
            "cpu_s": row.cpu_s,
            "mb": row.mb,
            "cpu_ratio": round(row.cpu_s / rows[0].cpu_s, 1),
            "mb_ratio": round(row.mb / rows[0].mb, 1),
        }
        for row in rows
    ]


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


def main(protocols: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Measure, print each row and write the file."""
    rows = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    for protocol in protocols or _PROTOCOLS:
        found = measured(protocol)
        typer.echo("\n".join(map(json.dumps, found)))
        rows = [row for row in rows if row["protocol"] != protocol] + found
        write_atomic(RESULTS, (json.dumps({"rows": rows, "odds": odds()}, indent=2) + "\n").encode())


if __name__ == "__main__":
    typer.run(main)
