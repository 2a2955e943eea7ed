"""What a round's failed tasks say at the terminal, while the round still runs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from rich.console import Console
from rich.markup import escape

from pipeline.airflow.airflow import log_file
from pipeline.errors import Misconfigured, Refused, WardroundError
from pipeline.round_steps import ROUND, dag_id
from pipeline.site.airflow_api import Airflow, RunState, TaskState
from pipeline.site.settings import Settings
from pipeline.study.study import Study

_BY_A_HOSPITAL = tuple(step.name for step in ROUND if step.to_hand_in)
"""Steps without which a hospital is absent; the round goes on."""
_AGAIN = "up_for_retry"
_FAILED = "failed"


@dataclass
class Failures:
    """Says each failure of a run once: what failed, why, in which log; and what it means for the round."""

    settings: Settings
    study: Study
    airflow: Airflow
    console: Console
    causes: dict[str, str] = field(default_factory=dict)
    """Task to why it failed for good, of the run that was looked at last."""
    _run: str | None = None
    _said: set[tuple[str, int]] = field(default_factory=set)
    """Task and try, of that run."""
    _doomed: bool = False

    def look(self, title: str, run: RunState, tasks: Sequence[TaskState]) -> None:
        """Say what is new; raises Unavailable when Airflow does not answer."""
        if run.run_id != self._run:
            self._run = run.run_id
            self.causes = {}
            self._said = set()
            self._doomed = False
        for task in tasks:
            if task.state in (_AGAIN, _FAILED) and (task.task, task.attempt) not in self._said:
                self._say(title, run, task)
                self._said.add((task.task, task.attempt))
        if not self._doomed and not run.ended and cannot_end_with_a_model(tasks):
            self._doomed = True
            self.console.print(f"{title}: no majority of the nodes can sign a model any more. {self._until()}")

    def _say(self, title: str, run: RunState, task: TaskState) -> None:
        dag = dag_id(self.study.name)
        try:
            cause = self.airflow.cause(dag, run.run_id, task)
        except (Misconfigured, Refused):
            cause = "Airflow does not show this account why"
        what = "failed and is tried again"
        if task.state == _FAILED:
            self.causes[task.task] = cause
            what = f"failed, so {task.actor} is absent" if task.step in _BY_A_HOSPITAL else "failed"
        self.console.print(f"{title}: {task.task} {what}: {escape(cause)}")
        if task.state == _FAILED:
            self.console.print(
                f"  log: {escape(str(log_file(self.settings, dag, run.run_id, task.task, task.attempt)))}"
            )

    def _until(self) -> str:
        """Until when the ledger waits; without a time where it does not answer."""
        from pipeline.ledger_types.state import study_id
        from pipeline.views.observer import Observer

        after = "the model before stays, and the next round can be run"
        try:
            ledger = Observer.open(self.settings).ledger
            number = ledger.study(study_id(self.study.name)).open_round
            deadline = None if number is None else ledger.round(number).deadline
            now = ledger.block_time()
        except WardroundError:
            return f"The round ends at its deadline on the ledger; then {after}."
        if deadline is None:
            return f"No round of the study is open on the ledger: {after}."
        # The chain's clock may differ from this machine's: what is left is the same on both.
        left = max(0, deadline - now)
        end = datetime.fromtimestamp(time.time() + left).astimezone()
        return f"The ledger keeps round {number} open until {end:%H:%M:%S}, {_minutes(left)} from now; then {after}."


def cannot_end_with_a_model(tasks: Sequence[TaskState]) -> bool:
    """Whether too many nodes have ended without a vote for a majority of all of them."""
    votes = [task for task in tasks if task.step == "aggregate"]
    possible = [task for task in votes if task.state == "success" or not task.done]
    return bool(votes) and len(possible) < len(votes) // 2 + 1


def decisive(causes: Mapping[str, str]) -> str:
    """What a round most likely failed for: the first task without which no other goes on, with its cause."""
    if not causes:
        return "Airflow says no more"
    needed = [task for task in causes if not task.startswith(tuple(f"{step}_" for step in _BY_A_HOSPITAL))]
    first = (needed or list(causes))[0]
    others = len(causes) - 1
    return f"{first}: {causes[first]}" + (
        f"; {others} other {'task' if others == 1 else 'tasks'} failed, as said above" if others else ""
    )


def _minutes(seconds: int) -> str:
    return f"{seconds // 60} min {seconds % 60} s" if seconds >= 60 else f"{seconds} s"
