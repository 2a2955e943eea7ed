"""What no hospital's site took in time: a site that is away is absent, and the others' round goes on.

A task waits in the queue of its site until the site's worker comes, however long, and with it whatever Airflow starts
after it. So the provider stays with each round, and fails in Airflow what is late by the ledger's clock.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from pipeline.airflow.airflow import log_in
from pipeline.domain import RoundId, RoundStatus
from pipeline.round.worker import Worker, provider_worker
from pipeline.round_steps import ROUND, Actor, dag_id
from pipeline.site.airflow_api import Airflow, TaskState
from pipeline.site.settings import Settings

_HAND_IN = frozenset(step.name for step in ROUND if step.to_hand_in)
_FIRST = next(step.name for step in ROUND if step.to_hand_in)
_AFTERWARDS = frozenset(step.name for step in ROUND if step.actor is Actor.HOSPITAL) - _HAND_IN

_SHARE_TO_COMMIT = 6
"""So large a part of the time to hand in is kept for what comes until the set stands on the ledger,"""
_MOST_TO_COMMIT = 60
"""but no more seconds than these."""
_POLL_SECONDS = 1.0


def end_overdue(study: str, round_id: RoundId, run: str, settings: Settings | None = None) -> tuple[str, ...]:
    """Stay with a round until its hospitals have ended, and fail those of their tasks that are late; their ids.

    A task to hand in is late shortly before the commit's deadline, what comes after the round's end when it has taken
    as long as handing in may take. A hospital that took nothing before is not waited for then. Raises Unavailable.
    """
    worker = provider_worker(study, settings)
    airflow = log_in(worker.settings)
    dag = dag_id(study)
    seconds = worker.study.deadlines.commit_seconds
    opened = worker.ledger.round(round_id).opened
    last = opened.commit_deadline - min(seconds // _SHARE_TO_COMMIT, _MOST_TO_COMMIT)
    while worker.ledger.status(round_id) is RoundStatus.OPEN and worker.ledger.block_time() < last:
        time.sleep(_POLL_SECONDS)
    late = _fail(airflow, dag, run, [task for task in airflow.tasks(dag, run) if task.step in _HAND_IN])
    if _ended(worker, round_id) is not RoundStatus.FINALISED:
        return late
    ends = worker.ledger.block_time() + seconds
    while waiting := [task for task in airflow.tasks(dag, run) if task.step in _AFTERWARDS and not task.done]:
        if worker.ledger.block_time() >= ends:
            return late + _fail(airflow, dag, run, waiting)
        away = _away(airflow.tasks(dag, run))
        late += _fail(airflow, dag, run, [task for task in waiting if task.actor in away])
        time.sleep(_POLL_SECONDS)
    return late


def _ended(worker: Worker, round_id: RoundId) -> RoundStatus:
    """How the round ended, once it has: somebody aborts it when its deadline has passed."""
    while (status := worker.ledger.status(round_id)) not in (RoundStatus.FINALISED, RoundStatus.ABORTED):
        time.sleep(_POLL_SECONDS)
    return status


def _away(tasks: Iterable[TaskState]) -> set[str]:
    """The hospitals that did not take even the first of their tasks."""
    return {task.actor for task in tasks if task.step == _FIRST and task.done and not task.started}


def _fail(airflow: Airflow, dag: str, run: str, tasks: Iterable[TaskState]) -> tuple[str, ...]:
    late = tuple(task.task for task in tasks if not task.done and task.state is not None)
    for task in late:
        airflow.fail(dag, run, task)
    return late
