"""`wardround run` and `wardround demo`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from pipeline.cli import demo as demonstration
from pipeline.cli import runs
from pipeline.round_steps import MOST_AT_ONCE
from pipeline.site.settings import Settings
from pipeline.study.study import Study

StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="Name of a file in studies/, without .yaml.")]
Rounds = Annotated[int, typer.Option(min=1, max=MOST_AT_ONCE, help="How many rounds, one after the other.")]

_console = Console(highlight=False, soft_wrap=True)


def run(study: StudyName, rounds: Rounds = 1) -> None:
    """Run rounds of a study through Airflow and wait for their end."""
    settings = Settings.load()
    runs.run(settings, Study.load(settings.studies / f"{study}.yaml"), rounds, _console)


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
    chosen = demonstration.choose(settings, [study] if study else demonstration.STUDIES, _console)
    demonstration.demo(settings, chosen, rounds, _console)
