"""The tasks of a round: each hands a study's name and a round's number to one worker's own code."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

_LOG = logging.getLogger(__name__)


def number(study: str, has_course: bool) -> Any:
    """The task that numbers the round of this run; of a concluded study it skips all others."""
    kind = task.short_circuit if has_course else task

    @kind(task_id="number", queue="provider", owner="provider")
    def number(airflow_run: str) -> int:
        from pipeline.round import provider

        if has_course and (done := _reporting(lambda: _concluded(study))):
            _LOG.warning("no round: study %s is %s", study, done)
            return 0
        return _reporting(lambda: provider.number(study, airflow_run))

    return number("{{ run_id }}")


def provider_step(study: str, step: str, round_id: Any, **options: Any) -> Any:
    """A step of the service provider."""

    @task(task_id=step, queue="provider", owner="provider", **options)
    def take(round_number: int | None) -> None:
        from pipeline.round import steps

        _reporting(lambda: steps.take_provider(step, study, _given(round_number)))

    return take(round_id)


def end_overdue(study: str, round_id: Any) -> Any:
    """The task that fails what hospitals' sites do not take in time."""

    @task(task_id="end_overdue", queue="provider", owner="provider")
    def end_overdue(round_number: int | None, airflow_run: str) -> None:
        from pipeline.airflow import overdue

        _reporting(lambda: overdue.end_overdue(study, _given(round_number), airflow_run))

    return end_overdue(round_id, "{{ run_id }}")


def node_step(study: str, node: str, step: str, round_id: Any, **options: Any) -> Any:
    """A step of one node, in the queue that only its own worker serves."""

    @task(task_id=f"{step}_{node}", queue=f"node-{node}", owner=node, **options)
    def take(round_number: int | None) -> None:
        from pipeline.round import steps

        _reporting(lambda: steps.take_node(node, step, study, _given(round_number)))

    return take(round_id)


def hospital_step(study: str, hospital: str, step: str, round_id: Any, **options: Any) -> Any:
    """A step of one hospital, in the queue that only its own worker serves."""

    @task(task_id=f"{step}_{hospital}", queue=f"hospital-{hospital}", owner=hospital, **options)
    def take(round_number: int | None) -> None:
        from pipeline.round import steps

        _reporting(lambda: steps.take_hospital(hospital, step, study, _given(round_number)))

    return take(round_id)


class NextRound(TriggerDagRunOperator):
    """Triggers the next run while rounds that were asked for by hand are left, unless the study is concluded."""

    def __init__(self, *, study: str | None, **options: Any) -> None:
        """`study` names one that has a course."""
        super().__init__(**options)
        self.study = study

    def execute(self, context: Any) -> None:
        """Trigger once, also after a rerun: the next run's id follows from this one's."""
        if self.study is not None and (done := _reporting(lambda: _concluded(str(self.study)))):
            raise AirflowSkipException(f"study {self.study} is {done}")
        left = int(context["params"]["rounds"]) - 1
        if left < 1:
            raise AirflowSkipException("the last round that was asked for")
        self.conf = {"rounds": left}
        self.trigger_run_id = _following(context["run_id"])
        super().execute(context)


def _concluded(study: str) -> str | None:
    """How the study was concluded, its schedule being ended then; None while it goes on."""
    from pipeline.round import provider

    return provider.concluded(study)


def _following(run_id: str) -> str:
    """The id of the run after this one: `first`, `first~2`, `first~3`."""
    first, tilde, ordinal = run_id.rpartition("~")
    return f"{first}~{int(ordinal) + 1}" if tilde and ordinal.isdecimal() else f"{run_id}~2"


def _given(round_number: int | None) -> int:
    if round_number is None:
        raise AirflowFailException("RoundAborted: this run has no round number; see its task `number`")
    return round_number


def _reporting(action: Callable[[], Any]) -> Any:
    """Run `action`; of its errors only an unavailable service and a party that died are worth a retry."""
    from pipeline.errors import EngineFailed, Unavailable, WardroundError

    try:
        return action()
    except (EngineFailed, Unavailable):
        raise
    except WardroundError as error:
        raise AirflowFailException(f"{type(error).__name__}: {error}") from None
