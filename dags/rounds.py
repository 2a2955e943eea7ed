"""One DAG per study: a run is one federated round.

Airflow says when, never what: a task carries the study's name and the round's number, and the worker reads the rest
from the ledger, the store and its own folder. A forged number, conf or task state costs time and changes no result.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, TaskGroup, get_parsing_context
from round_tasks import NextRound, end_overdue, hospital_step, node_step, number, provider_step

from pipeline.domain import TRIES
from pipeline.round_steps import MOST_AT_ONCE, NAMES, Actor, RoundStep, Start, dag_id, of_study
from pipeline.site.settings import Settings
from pipeline.study import schedule
from pipeline.study.study import Study
from pipeline.study.study_files import StudyFiles

_settings = Settings.load()

ROUNDS = Param(
    1,
    type="integer",
    minimum=1,
    maximum=MOST_AT_ONCE,
    title="Rounds",
    description="How many rounds to run, one after the other",
)


def _tasks(study: Study, step: RoundStep, round_id: Any, groups: Mapping[str, TaskGroup]) -> dict[str, Any]:
    """A step's tasks by actor; those in which a hospital hands in stand in its group."""
    options: dict[str, Any] = {}
    if step.start is Start.ANYWAY:
        options["trigger_rule"] = "all_done"
    if step.to_hand_in:
        # A hospital that hangs is absent, like one that fails.
        options["execution_timeout"] = timedelta(seconds=study.deadlines.commit_seconds)
    if step.actor is Actor.PROVIDER:
        return {"provider": provider_step(study.name, step.name, round_id, **options)}
    if step.actor is Actor.NODE:
        return {node: node_step(study.name, node, step.name, round_id, **options) for node in study.nodes}
    tasks = {}
    for hospital in study.hospitals:
        with groups[hospital] if step.to_hand_in else nullcontext():
            tasks[hospital] = hospital_step(study.name, hospital, step.name, round_id, **options)
    return tasks


def round_dag(study: Study, sites_apart: bool) -> DAG:
    """The DAG of one study: a group of tasks per hospital, a task per node and step.

    Where sites are apart, one of them may be away, and a task of the provider's sees to it that nobody waits for it.
    """
    with DAG(
        dag_id=dag_id(study.name),
        description=study.title,
        doc_md=__doc__,
        schedule=schedule.of(study, _settings),
        catchup=False,
        max_active_runs=1,
        params={"rounds": ROUNDS},
        tags=["round", study.dataset, study.engine],
        default_args={"retries": TRIES - 1, "retry_delay": timedelta(seconds=3)},
    ) as dag:
        round_id = number(study.name, study.course is not None)
        groups = {hospital: TaskGroup(hospital, prefix_group_id=False) for hospital in study.hospitals}
        tasks: dict[str, dict[str, Any]] = {}
        for step in of_study(study.course is not None):
            tasks[step.name] = _tasks(study, step, round_id, groups)
            for actor, task in tasks[step.name].items():
                for before in tasks.keys() & set(step.after):
                    earlier = tasks[before]
                    (earlier[actor] if step.start is Start.OWN else list(earlier.values())) >> task
        if sites_apart:
            overdue = end_overdue(study.name, round_id)
            tasks["open_round"]["provider"] >> overdue >> list(tasks[NAMES[-1]].values())
        following = NextRound(
            task_id="next_round",
            queue="provider",
            owner="provider",
            trigger_dag_id=dag.dag_id,
            skip_when_already_exists=True,
            study=study.name if study.course else None,
        )
        list(tasks[NAMES[-1]].values()) >> following
    return dag


# A task's process is told its DAG, and reads no other study.
_wanted = (get_parsing_context().dag_id or dag_id("*")).removeprefix(dag_id(""))

# A wrong study file is `invalid_studies.py`'s to report; it takes no other study's DAG away.
for _study in StudyFiles.read(_settings.studies, _wanted).studies.values():
    globals()[dag_id(_study.name)] = round_dag(_study, sites_apart=_settings.site.exists())
