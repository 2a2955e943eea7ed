"""`wardround demo`: rounds of a study, what happened in each, and the same rounds without verification."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipeline.airflow.airflow import PROVIDER, password_file
from pipeline.cli.audit import print_round
from pipeline.cli.runs import Rounds, run_rounds
from pipeline.domain import RoundId
from pipeline.errors import Misconfigured
from pipeline.mpc.engines import engine
from pipeline.replay.comparison import without_verification
from pipeline.report.round_view import RoundView
from pipeline.round import readiness
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.study.study import Study
from pipeline.train import misbehaviour
from pipeline.views.observer import Observer

STUDIES = ("pneumonia", "breast_cancer")
"""What a demonstration takes unless a study is named, in this order; the data of the last one come with scikit-learn.
"""


def demo(
    study: Annotated[
        str | None,
        typer.Argument(
            metavar="STUDY", help="As for `run`; by default pneumonia or, where its data are missing, breast_cancer."
        ),
    ] = None,
    rounds: Rounds = 3,
) -> None:
    """Run rounds of a demonstration study and show what happened, beside the same rounds without verification."""
    settings = Settings.load()
    console = Console(highlight=False, soft_wrap=True)
    _demonstrate(settings, choose(settings, [study] if study else STUDIES, console), rounds, console)


def choose(settings: Settings, names: Sequence[str], console: Console) -> Study:
    """The first of these studies whose rounds can happen, with one line that says which and why.

    Raises Misconfigured.
    """
    refusals: list[Misconfigured] = []
    for name in names:
        study = Study.load(settings.studies / f"{name}.yaml")
        try:
            readiness.require(study, settings)
        except Misconfigured as error:
            refusals.append(error)
            continue
        why = "; ".join(map(str, refusals)) or "its hospitals here have their records"
        console.print(f"Demonstration with {name}: {why}")
        return study
    raise refusals[-1]


def _demonstrate(settings: Settings, study: Study, rounds: int, console: Console) -> None:
    """Run rounds through Airflow and print them; raises RoundAborted when one of them fails."""
    console.print(f"[bold]{study.title}[/bold]: {rounds} rounds, verified with {study.engine} ({study.protocol})")
    for name in study.hospitals:
        behaviour = misbehaviour.configured(settings.hospital(name))
        if behaviour is not misbehaviour.HONEST:
            console.print(f"  {name} {behaviour.summary}; so says its own {settings.hospital(name) / 'hospital.yaml'}")
    run_rounds(settings, study, rounds, console)
    observer = Observer.open(settings)
    finished = [view for view in observer.views(study) if view.record is not None]
    for view in finished[-rounds:]:
        console.print()
        print_round(view, console)
    console.print()
    _compare(settings, study, observer, finished, console)
    _where(settings, finished[-1].round, console)


def _compare(
    settings: Settings, study: Study, observer: Observer, finished: Sequence[RoundView], console: Console
) -> None:
    trained = [view for view in finished if not view.measured_scale]
    if not trained or trained[-1].model is None:
        console.print("The round measured the scale of the inputs and trained nothing; the next one trains.")
        return
    scaled = study.at(observer.model(trained[-1].model))
    plain = without_verification(scaled, [RoundId(view.round) for view in trained], settings)
    title = "Accuracy on the test records of all hospitals, and of the same rounds without verification"
    table = Table("round", "verified", "plain averaging", title=title, title_justify="left")
    for view, undefended in zip(trained, plain, strict=True):
        table.add_row(
            str(view.round), "not confirmed" if view.accuracy is None else f"{view.accuracy:.1%}", f"{undefended:.1%}"
        )
    console.print(table)


def _where(settings: Settings, last: RoundId, console: Console) -> None:
    installation = Installation.load(settings.installation)
    console.print("\n[bold]Where to look[/bold]")
    console.print(
        f"  Airflow  {installation.airflow}  user {PROVIDER}, password in {password_file(settings, PROVIDER)}"
    )
    console.print(f"  report   {settings.records / 'rounds' / str(last) / 'report.html'}")
    console.print(f"  audit    .venv/bin/wardround audit {last}")
    console.print("  stop     .venv/bin/wardround down")
    if engine("mp-spdz", settings).problems():
        console.print(
            "  engine   .venv/bin/wardround engine install mp-spdz  (the studies that it verifies run on this machine"
            " then, too)"
        )
    console.print(
        "All nodes of this demonstration run on one machine, so its owner could see everything; the chain is a"
        " development chain."
    )
