"""`wardround run`: trigger rounds through Airflow and follow them to their end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from pipeline.airflow.airflow import log_in
from pipeline.cli.arguments import StudyName
from pipeline.cli.failures import Failures, decisive
from pipeline.errors import RoundAborted, Unavailable
from pipeline.round import conclusion, provider, readiness
from pipeline.round.worker import provider_worker
from pipeline.round_steps import MOST_AT_ONCE, dag_id
from pipeline.site.airflow_api import Airflow, RunState, TaskState, at_work
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.study.fields import Course
from pipeline.study.study import Study

_POLL_SECONDS = 1.0
_PATIENCE_SECONDS = 120.0
"""How long Airflow may be away, and how long it may take to start the next round: it is restarted when it dies."""
_INTERRUPTED = 130
"""128 and the signal's number."""

Rounds = Annotated[int, typer.Option(min=1, max=MOST_AT_ONCE, help="How many rounds, one after the other.")]
RoundsOrAll = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MOST_AT_ONCE,
        help="How many rounds, one after the other; by default one, or all that the study's course asks for.",
    ),
]


def run(study: StudyName, rounds: RoundsOrAll = None) -> None:
    """Run rounds of a study through Airflow and wait for their end."""
    settings = Settings.load()
    read = Study.load(settings.studies / f"{study}.yaml")
    console = Console(highlight=False, soft_wrap=True)
    if rounds is not None or read.course is None:
        run_rounds(settings, read, rounds or 1, console)
    else:
        _run_to_the_end(settings, read, read.course, console)
    if read.course is not None and (said := provider.concluded(study, settings)) is not None:
        console.print(f"{study} is {escape(said)}")


def _run_to_the_end(settings: Settings, study: Study, course: Course, console: Console) -> None:
    """Run rounds until the study's nodes conclude it."""
    worker = provider_worker(study.name, settings)
    conclusion.require_going_on(study, worker.ledger.study(worker.study_id))
    while provider.concluded(study.name, settings) is None:
        had = sum(state.finalised is not None for state in worker.ledger.rounds(worker.study_id))
        # a round that measures the inputs' scale does not count; one that the nodes did not agree about is run again
        left = MOST_AT_ONCE if course.most_rounds is None else max(1, course.most_rounds - had)
        run_rounds(settings, study, min(left, MOST_AT_ONCE), console)


def _is_done(settings: Settings, study: Study) -> bool:
    return study.course is not None and provider.concluded(study.name, settings) is not None


def run_rounds(settings: Settings, study: Study, rounds: int, console: Console) -> None:
    """Trigger rounds of a study and wait for their end.

    Raises Misconfigured when none can happen, RoundAborted when one fails.

    Whoever interrupts it leaves the rounds running, is told how to go on, and gets the exit code that shells give it.
    """
    readiness.require(study, settings)
    if study.course is not None:
        worker = provider_worker(study.name, settings)
        conclusion.require_going_on(study, worker.ledger.study(worker.study_id))
    airflow = log_in(settings)
    first = airflow.trigger(dag_id(study.name), rounds)
    try:
        _follow(settings, study, airflow, first, rounds, console)
    except KeyboardInterrupt:
        what = (
            "The round goes on without this terminal and ends"
            if rounds == 1
            else "The rounds go on without this terminal and end"
        )
        where = f"{Installation.load(settings.installation).airflow}/dags/{dag_id(study.name)}"
        console.print(
            f"{what} by itself: `wardround rounds` and `wardround show ROUND` say how, Airflow shows the tasks"
            f" ({where})."
        )
        console.print(f"Another `wardround run {study.name}` waits for that.")
        raise SystemExit(_INTERRUPTED) from None


def _follow(settings: Settings, study: Study, airflow: Airflow, first: str, rounds: int, console: Console) -> None:
    dag = dag_id(study.name)
    failures = Failures(settings, study, airflow, console)
    with _Display(console, rounds, at_most=study.course is not None) as display:
        waiting_since: float | None = None
        while True:
            try:
                series = airflow.series(dag, first)
                for index, state in enumerate(series[:rounds]):
                    if not display.ended(index):
                        tasks = airflow.tasks(dag, state.run_id)
                        failures.look(display.title(index), state, tasks)
                        display.show(index, state, tasks)
            except Unavailable:
                if _waited(waiting_since):
                    raise
                series = ()
            if any(state.state == "failed" for state in series):
                raise RoundAborted(
                    f"a round of {study.name} ended without a model ({decisive(failures.causes)}). The model before"
                    f" stays; `wardround rounds` says what the ledger holds, `wardround run {study.name}` runs the next"
                    " round"
                )
            if series and all(state.ended for state in series) and (len(series) == rounds or _is_done(settings, study)):
                return
            if any(not state.ended for state in series):
                waiting_since = None
            elif _waited(waiting_since):
                raise Unavailable(
                    f"{dag}: round {len(series) + 1} of {rounds} was not started; the last run's tasks in Airflow"
                    " say why"
                )
            else:
                waiting_since = waiting_since or time.monotonic()
            time.sleep(_POLL_SECONDS)


def _waited(since: float | None) -> bool:
    return since is not None and time.monotonic() - since > _PATIENCE_SECONDS


class _Display:
    """One bar per round on a terminal; elsewhere one line per round and step, since a log keeps everything."""

    def __init__(self, console: Console, rounds: int, at_most: bool) -> None:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self._rounds = rounds
        self._at_most = at_most
        self._console = console
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self._bars: list[TaskID] = []
        self._said: set[str] = set()

    def __enter__(self) -> _Display:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def ended(self, index: int) -> bool:
        """Whether this round was shown at its end."""
        return index < len(self._bars) and self._progress.tasks[index].finished

    def show(self, index: int, state: RunState, tasks: Sequence[TaskState]) -> None:
        """Show where a round stands."""
        if self.ended(index):
            return
        while len(self._bars) <= index:
            self._bars.append(self._progress.add_task(self.title(len(self._bars)), total=None, start=False))
        bar = self._bars[index]
        if state.state != "queued":
            self._progress.start_task(bar)
        words = {
            "queued": "queued (a study runs one round at a time)",
            "success": "finished",
            "failed": "ended without a model",
        }
        what = words.get(state.state) or at_work(tasks)
        title = f"{self.title(index)}: {what}" if what else self.title(index)
        total = max(1, len(tasks))
        done = total if state.ended else min(total - 1, sum(task.done for task in tasks))
        self._progress.update(bar, total=total, completed=done, description=title)
        # A later round is queued while the one before closes; that is no news.
        news = what is not None and not (state.state == "queued" and index > 0)
        if not self._console.is_terminal and news and title not in self._said:
            self._said.add(title)
            self._console.print(title)

    def title(self, index: int) -> str:
        """A round's name."""
        return f"round {index + 1} of {'at most ' if self._at_most else ''}{self._rounds}"
