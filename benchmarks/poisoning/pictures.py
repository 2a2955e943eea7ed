"""CSV, tables and pictures from the finished runs: `python -m benchmarks.poisoning.pictures`."""

from __future__ import annotations

import csv
import textwrap
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.poisoning import results
from benchmarks.poisoning.own_rules import APART
from benchmarks.poisoning.setting import MAIN, Setting, attacked

FOLDER = results.FOLDER / "poisoning"
HEAT_MAP = "heat-map.png"
FILTERING = "rejects.png"
CURVES = "accuracy-per-round.csv"
TABLE = "rows.csv"

CURVE = ("dataset", "hospitals", "attackers", "alpha", "rounds", "first_attack", "attack", "defence")


def draw(folder: Path = FOLDER, runs: Path = results.RUNS) -> None:
    """Write rows.csv, accuracy-per-round.csv, heat-map.png and rejects.png."""
    finished = list(results.read(runs).values())
    rows = results.rows(finished)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / TABLE).open("w", newline="") as file:
        writer = csv.DictWriter(
            file, [name for name, value in rows[0].items() if not isinstance(value, dict | list)], extrasaction="ignore"
        )
        writer.writeheader()
        writer.writerows(rows)
    _curves(finished, folder / CURVES)
    _heat_map(rows, folder / HEAT_MAP)
    _filtering(rows, folder / FILTERING)


def _curves(runs: list[dict[str, Any]], path: Path) -> None:
    groups = defaultdict(list)
    for run in runs:
        groups[tuple(run[name] for name in CURVE)].append(run)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*CURVE, "round", "accuracy", "seeds"])
        for key, group in groups.items():
            for number, accuracy in enumerate(np.mean([run["history"] for run in group], axis=0), start=1):
                writer.writerow([*key, number, round(100 * float(accuracy), 1), len(group)])


def _main(rows: list[dict[str, Any]]) -> list[Setting]:
    there = attacked(rows)
    return [setting for setting in MAIN if setting in there] or there


def _heat_map(rows: list[dict[str, Any]], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    settings = _main(rows)
    figure = Figure(figsize=(8 * len(settings), 12), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(settings), squeeze=False)[0]
    for axis, setting in zip(axes, settings, strict=True):
        setting_rows = [row for row in rows if setting.holds(row) and row["defence"] not in APART]
        attacks, defences = (list(dict.fromkeys(row[name] for row in setting_rows)) for name in ("attack", "defence"))
        gaps = np.full((len(attacks), len(defences)), np.nan)
        for row in setting_rows:
            if row["gap_mean"] is not None:
                gaps[attacks.index(row["attack"]), defences.index(row["defence"])] = row["gap_mean"]
        image = axis.imshow(gaps, cmap="RdYlGn", vmin=-15, vmax=2, aspect="auto")
        axis.set_xticks(range(len(defences)), defences, rotation=60, ha="right")
        axis.set_yticks(range(len(attacks)), attacks)
        axis.set_title(textwrap.fill(setting.title, 60))
    figure.colorbar(image, ax=list(axes), label="points to attack-free averaging")
    figure.savefig(path, dpi=90)


def _filtering(rows: list[dict[str, Any]], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import TABLEAU_COLORS
    from matplotlib.figure import Figure

    settings = _main(rows)
    figure = Figure(figsize=(7 * len(settings), 6), layout="constrained")
    FigureCanvasAgg(figure)
    deciding = [
        row
        for row in rows
        if row["rejected"] is not None and row["false_rejects"] is not None and row["defence"] not in APART
    ]
    colours = dict(zip(dict.fromkeys(row["defence"] for row in deciding), TABLEAU_COLORS, strict=False))
    for axis, setting in zip(figure.subplots(1, len(settings), squeeze=False)[0], settings, strict=True):
        for defence, colour in colours.items():
            defence_rows = [row for row in deciding if row["defence"] == defence and setting.holds(row)]
            if defence_rows:
                axis.scatter(
                    [row["false_rejects"] for row in defence_rows],
                    [row["rejected"] for row in defence_rows],
                    s=14,
                    color=colour,
                    label=defence,
                )
        axis.set(xlabel="honest updates rejected, percent", ylabel="attackers' updates kept out, percent")
        axis.set_title(textwrap.fill(f"{setting.title}; one point an attack", 60))
        axis.legend()
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    draw()
