"""Plays attacks against defences in a setting of one's own: `python -m benchmarks.poisoning.experiment --help`."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Annotated

os.environ.setdefault("OMP_NUM_THREADS", "1")

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.poisoning import pictures
from benchmarks.poisoning.attacks import ATTACKS, FIT, NONE
from benchmarks.poisoning.campaign import play
from benchmarks.poisoning.cells import FLOOR, Cell
from benchmarks.poisoning.defences import DEFENCES
from benchmarks.poisoning.own_rules import OWN_RULES
from benchmarks.poisoning.results import read, rows, write_rows
from benchmarks.poisoning.simulate import TRAINING, Case
from pipeline.errors import Misconfigured
from pipeline.host import program

OWN_SITES = ("heart_disease",)
"""Data sets whose hospitals are given."""


def main(
    attack: Annotated[list[str], typer.Option(help="may be given again")],
    defence: Annotated[list[str], typer.Option(help="may be given again")],
    out: Annotated[Path, typer.Option(help="folder for runs, rows and pictures; what is done there is not done again")],
    dataset: Annotated[str, typer.Option(help="whose records")] = "pneumonia",
    hospitals: Annotated[int, typer.Option(min=3, max=50)] = 10,
    attackers: Annotated[int, typer.Option(min=0)] = 3,
    alpha: Annotated[float, typer.Option(min=0.01, help="of the Dirichlet partition: small is skewed")] = 0.5,
    rounds: Annotated[int, typer.Option(min=1, max=200)] = 12,
    seeds: Annotated[int, typer.Option(min=1, max=50)] = 3,
) -> None:
    """Play every attack against every defence, on as many seeds; then write rows and pictures."""
    _check("dataset", [dataset], TRAINING)
    _check("attack", attack, (NONE, *ATTACKS, *(name + FIT for name in ATTACKS)))
    _check("defence", defence, (*OWN_RULES, *DEFENCES))
    if attackers >= hospitals:
        raise Misconfigured(f"attackers: got {attackers} of {hospitals} hospitals, want fewer attackers than hospitals")
    if dataset in OWN_SITES:
        setting = Case(dataset, 4, min(attackers, 3), 0.0, 0, NONE, "fedavg", 0, rounds)
    else:
        setting = Case(dataset, hospitals, attackers, alpha, FLOOR, NONE, "fedavg", 0, rounds)
    # Without an attack under plain averaging there is nothing to measure the gap against.
    cases = [*Cell(setting, (NONE,), ("fedavg",), tuple(range(seeds))).cases()]
    cases += [
        case for case in Cell(setting, tuple(attack), tuple(defence), tuple(range(seeds))).cases() if case not in cases
    ]
    runs = out / "runs.jsonl"
    play(cases, runs)
    write_rows(read(runs).values(), out / "rows.json")
    pictures.draw(out, runs)
    table = Table(
        "attack", "defence", "accuracy", "worst", "gap", "rejected", "false rejects", title=f"{dataset}, {seeds} seeds"
    )
    for row in rows(read(runs).values()):
        shown = [row[name] for name in ("accuracy_mean", "accuracy_worst", "gap_mean", "rejected", "false_rejects")]
        table.add_row(row["attack"], row["defence"], *("–" if value is None else str(value) for value in shown))
    Console(width=120).print(table)


def _check(field: str, given: Collection[str], allowed: Collection[str]) -> None:
    wrong = [name for name in given if name not in allowed]
    if wrong or not given:
        raise Misconfigured(f"{field}: got {', '.join(wrong) or 'none'}, want one of {', '.join(allowed)}")


if __name__ == "__main__":
    program.run(main)
