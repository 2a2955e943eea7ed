"""`wardround run`: trigger rounds through Airflow and follow them to their end."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from pipeline.cli.airflow import Airflow, RunState
from pipeline.errors import RoundAborted, Unavailable
from pipeline.installation import Installation
from pipeline.secret import Secret
from pipeline.settings import Settings
from pipeline.setup.airflow import PROVIDER, password_file
from pipeline.study import Study

_POLL_SECONDS = 1.0
_PATIENCE_SECONDS = 60.0
"""How long Airflow may be away: it is restarted when it dies."""


def connect(settings: Settings) -> Airflow:
    """Log in as the service provider."""
    return Airflow(Installation.load(settings.installation).airflow, PROVIDER, Secret.read(password_file(settings, PROVIDER)))


def run(settings: Settings, study: Study, rounds: int, console: Console) -> None:
    """Trigger `rounds` rounds of a study and wait for their end; raises RoundAborted when one of them fails."""
    dag = f"round_{study.name}"
    airflow = connect(settings)
    first = airflow.trigger(dag, rounds)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bars = [progress.add_task(f"round {number} of {rounds}", total=None, start=False) for number in range(1, rounds + 1)]
        lost_since: float | None = None
        while True:
            try:
                series = airflow.series(dag, first)
                for bar, state in zip(bars, series, strict=False):
                    _show(progress, bar, airflow, dag, state)
                lost_since = None
            except Unavailable:
                lost_since = lost_since or time.monotonic()
                if time.monotonic() - lost_since > _PATIENCE_SECONDS:
                    raise
                series = ()
            if any(state.state == "failed" for state in series):
                raise RoundAborted(f"a round of {study.name} failed; `wardround rounds` and the run in Airflow ({dag}) say where")
            if len(series) == rounds and all(state.ended for state in series):
                return
            time.sleep(_POLL_SECONDS)


def _show(progress: Progress, bar: object, airflow: Airflow, dag: str, state: RunState) -> None:
    task = next(item for item in progress.tasks if item.id == bar)
    if task.finished:
        return
    progress.start_task(task.id)
    tasks = airflow.tasks(dag, state.run_id)
    progress.update(task.id, total=len(tasks), completed=sum(item.done for item in tasks))
