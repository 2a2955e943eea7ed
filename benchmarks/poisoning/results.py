"""Runs on disk, one JSON line each, and the rows that are their means.

An interrupted matrix goes on where it stopped.
"""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from benchmarks.poisoning.attacks import NONE
from benchmarks.poisoning.simulate import Case
from pipeline.host.files import write_atomic

FOLDER = Path(__file__).parent.parent / "results"
RUNS = FOLDER / "poisoning-runs.jsonl"
ROWS = FOLDER / "poisoning.json"

CASE = tuple(field.name for field in fields(Case))
SETTING = tuple(name for name in CASE if name != "seed")


def key(run: Mapping[str, Any], names: tuple[str, ...] = CASE) -> tuple[Any, ...]:
    """What makes a run, or without the seed a row, the same one."""
    return tuple(run[name] for name in names)


def read(path: Path = RUNS) -> dict[tuple[Any, ...], dict[str, Any]]:
    """All finished runs by key; a line that was cut short by an interruption is run again."""
    finished = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            run = json.loads(line)
        except json.JSONDecodeError:
            continue
        finished[key(run)] = run
    return finished


def line(run: Mapping[str, Any]) -> str:
    """One run as a line of the file; shares are kept to a thousandth of a percent."""
    rounded = json.loads(json.dumps(run), parse_float=lambda share: round(float(share), 5))
    return json.dumps(rounded) + "\n"


def wanted(cases: Iterable[Case], path: Path = RUNS) -> list[Case]:
    """Those that are not on disk yet."""
    done = read(path)
    return [case for case in cases if key(asdict(case)) not in done]


def rows(runs: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean and worst over the seeds of every setting, in points of a hundred."""
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: run["seed"]):
        groups[key(run, SETTING)].append(run)
    # what plain averaging reaches where nobody attacks, on the same seeds
    clean = {
        (setting[SETTING.index("dataset")], *key(run, ("hospitals", "alpha", "floor", "rounds", "seed"))): run[
            "accuracy"
        ]
        for setting, members in groups.items()
        for run in members
        if run["attack"] == NONE and run["defence"] == "fedavg"
    }
    averaged = []
    for group in groups.values():
        first = group[0]
        free = [clean.get(key(run, ("dataset", "hospitals", "alpha", "floor", "rounds", "seed"))) for run in group]
        gaps = [
            run["accuracy"] - reference for run, reference in zip(group, free, strict=True) if reference is not None
        ]
        averaged.append(
            {
                "dataset": first["dataset"],
                "n": first["hospitals"],
                "attackers": first["attackers"] if first["attack"] != NONE else 0,
                "alpha": first["alpha"],
                "floor": first["floor"],
                "rounds": first["rounds"],
                "first_attack": first["first_attack"],
                "attack": first["attack"],
                "defence": first["defence"],
                "seeds": len(group),
                "accuracy_by_seed": {run["seed"]: round(100 * run["accuracy"], 2) for run in group},
                "accuracy_mean": _points([run["accuracy"] for run in group]),
                "accuracy_worst": round(100 * min(run["accuracy"] for run in group), 1),
                "attack_free": _points(free),
                "gap_mean": _points(gaps),
                "gap_worst": round(100 * min(gaps), 1) if gaps else None,
                "asr": _points([run["asr"] for run in group]),
                "natural_miss": _points([run["natural_miss"] for run in group]),
                "rejected": _points([run["rejected"] for run in group]),
                "false_rejects": _points([run["false_rejects"] for run in group]),
                "attackers_quarantined": _points([run["attackers_quarantined"] for run in group]),
                "honest_quarantined": _points([run["honest_quarantined"] for run in group]),
                "aborted_rounds": round(statistics.fmean(run["aborted"] for run in group), 1),
                "commits": sorted({run["commit"] for run in group}),
            }
        )
    return sorted(
        averaged,
        key=lambda row: [
            str(row[name]) for name in ("dataset", "n", "attackers", "alpha", "rounds", "attack", "defence")
        ],
    )


def write_rows(runs: Iterable[Mapping[str, Any]], path: Path = ROWS) -> None:
    """The rows as JSON, one a line."""
    lines = ",\n".join(json.dumps(row) for row in rows(runs))
    write_atomic(path, f'{{"rows": [\n{lines}\n]}}\n'.encode())


def _points(values: Iterable[float | None]) -> float | None:
    measured = [value for value in values if value is not None]
    return round(100 * statistics.fmean(measured), 1) if measured else None
