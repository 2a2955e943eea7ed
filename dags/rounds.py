"""One DAG per study: a run is one federated round.

Airflow says when, never what: a task carries the study's name and the round's number, and the worker reads the rest from the ledger,
the store and its own folder. A forged number, conf or task state costs time and changes no result.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, TaskGroup
from round_tasks import NextRound, hospital_step, node_step, number, provider_step
from study_files import read

from pipeline.domain import TRIES
from pipeline.study.study import Study

ROUNDS = Param(1, type="integer", minimum=1, maximum=100, title="Rounds", description="How many rounds to run, one after the other")


def round_dag(study: Study) -> DAG:
    """The DAG of one study: a group of tasks per hospital, a task per node and step."""
    with DAG(
        dag_id=f"round_{study.name}",
        description=study.title,
        doc_md=__doc__,
        schedule=study.schedule,
        catchup=False,
        max_active_runs=1,
        params={"rounds": ROUNDS},
        tags=["round", study.dataset, study.engine],
        default_args={"retries": TRIES - 1, "retry_delay": timedelta(seconds=3)},
    ) as dag:
        # A hospital that hangs is absent, like one that fails.
        time_to_share = timedelta(seconds=study.deadlines.commit_seconds)
        round_id = number(study.name)
        prepared = [node_step(study.name, node, "prepare", round_id) for node in study.nodes]
        opened = provider_step(study.name, "open_round", round_id)
        shared = []
        for hospital in study.hospitals:
            with TaskGroup(hospital, prefix_group_id=False):
                validated, trained, dealt = (
                    hospital_step(study.name, hospital, step, round_id, execution_timeout=time_to_share)
                    for step in ("validate", "train", "share")
                )
                opened >> validated >> trained >> dealt
                shared.append(dealt)
        # A hospital that fails is absent: the round goes on with the others.
        committed = provider_step(study.name, "commit", round_id, trigger_rule="all_done")
        verified = [node_step(study.name, node, "verify", round_id) for node in study.nodes]
        aggregated = [node_step(study.name, node, "aggregate", round_id) for node in study.nodes]
        # A majority of votes is enough, and a round that cannot get one must be aborted on the ledger.
        finalised = provider_step(study.name, "finalise", round_id, trigger_rule="all_done")
        confirmed = [hospital_step(study.name, hospital, "confirm", round_id) for hospital in study.hospitals]
        retired = [node_step(study.name, node, "retire", round_id, trigger_rule="all_done") for node in study.nodes]
        recorded = provider_step(study.name, "record", round_id, trigger_rule="all_done")

        prepared >> opened
        shared >> committed
        committed >> verified
        for own_aggregation in aggregated:
            verified >> own_aggregation
        aggregated >> finalised >> [*confirmed, *retired] >> recorded
        recorded >> NextRound(
            task_id="next_round", queue="provider", owner="provider", trigger_dag_id=dag.dag_id, skip_when_already_exists=True
        )
    return dag


# A wrong study file is `invalid_studies.py`'s to report; it takes no other study's DAG away.
for _study in read()[0]:
    globals()[f"round_{_study.name}"] = round_dag(_study)
