"""The DAGs as Airflow reads them.

What they import, their tasks, edges and queues, and a wrong study file beside good ones.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from benchmarks.poisoning.attacks import ATTACKS, FIT, NONE
from benchmarks.poisoning.defences import DEFENCES
from benchmarks.poisoning.experiment import main
from benchmarks.poisoning.own_rules import WARDROUND, WITHOUT_INFERENCE
from pipeline import round_steps
from pipeline.site.settings import PROJECT
from pipeline.study.study import Study

HEAVY = (
    "torch",
    "web3",
    "great_expectations",
    "jax",
    "pandas",
    "sklearn",
    "scipy",
    "boto3",
    "minio",
    "matplotlib",
    "dvc",
    "spu",
)

READ = """
import json, sys
import airflow.sdk
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
sys.path.insert(0, "dags")
before = set(sys.modules)
import poisoning_lab, rounds

def tasks(dag):
    return {
        task.task_id: {
            "queue": task.queue, "owner": task.owner, "rule": task.trigger_rule.value, "retries": task.retries,
            "upstream": sorted(task.upstream_task_ids),
        }
        for task in dag.tasks
    }

dags = [value for value in vars(rounds).values() if isinstance(value, airflow.sdk.DAG)]
print("READ" + json.dumps({
    "imported": sorted(set(sys.modules) - before),
    "form": poisoning_lab.dag.params.dump(),
    "dags": {dag.dag_id: {"tasks": tasks(dag), "active": dag.max_active_runs, "catchup": dag.catchup} for dag in dags},
}))
"""


def airflow_reads(program: str, home: Path, studies: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a fresh interpreter, as Airflow's DAG processor would."""
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "WARDROUND_STUDIES": str(studies),
        "PYTHONPATH": str(PROJECT),
        **more,
    }
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=PROJECT, capture_output=True, text=True, check=False
    )


def parsed(home: Path, studies: Path, **more: str) -> dict[str, Any]:
    done = airflow_reads(READ, home, studies, **more)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.rpartition("READ")[2])
    return found


@cache
def shipped_studies() -> dict[str, Study]:
    return {file.stem: Study.load(file) for file in sorted((PROJECT / "studies").glob("*.yaml"))}


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return parsed(tmp_path_factory.mktemp("airflow"), PROJECT / "studies")


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The same tasks where hospitals have sites of their own."""
    home = tmp_path_factory.mktemp("site")
    (home / "site.yaml").touch()
    found: dict[str, dict[str, Any]] = parsed(home, PROJECT / "studies", WARDROUND_HOME=str(home))["dags"][
        "round_breast_cancer"
    ]["tasks"]
    return found


@pytest.fixture(scope="module")
def tasks(shipped: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = shipped["dags"]["round_breast_cancer"]["tasks"]
    return found


BREAST_CANCER = Study.load(PROJECT / "studies" / "breast_cancer.yaml")


def each(step: str, actors: Iterable[str]) -> list[str]:
    return sorted(f"{step}_{actor}" for actor in actors)


def test_parsing_imports_nothing_heavy(shipped: dict[str, Any]) -> None:
    assert [name for name in HEAVY if name in shipped["imported"]] == []


def test_the_laboratory_is_asked_for_by_a_form_whose_values_an_experiment_takes(shipped: dict[str, Any]) -> None:
    form = shipped["form"]
    experiment = inspect.signature(main).parameters
    assert {name.removesuffix("s") if name in ("attacks", "defences") else name for name in form} == set(experiment) - {
        "out"
    }
    assert set(form["attacks"]) <= {NONE, *ATTACKS, *(name + FIT for name in ATTACKS)}
    assert set(form["defences"]) <= {WARDROUND, WITHOUT_INFERENCE, *DEFENCES}


def test_every_study_file_gives_one_dag(shipped: dict[str, Any]) -> None:
    assert sorted(shipped["dags"]) == sorted(f"round_{name}" for name in shipped_studies())


def test_rounds_of_a_study_run_one_after_the_other_and_missed_ones_are_not_made_up_for(shipped: dict[str, Any]) -> None:
    assert {(dag["active"], dag["catchup"]) for dag in shipped["dags"].values()} == {(1, False)}


def test_every_step_of_the_table_is_there_and_waits_for_earlier_ones() -> None:
    for step in round_steps.ROUND:
        module, _, function = step.function.partition(":")
        assert callable(getattr(importlib.import_module(module), function))
        assert set(step.after) <= set(round_steps.NAMES[: round_steps.NAMES.index(step.name)]), (
            "in the order in which they run"
        )


def test_a_round_has_a_task_for_each_step_of_each_actor(shipped: dict[str, Any]) -> None:
    for name, study in shipped_studies().items():
        wanted = ["number", "open_round", "commit", "finalise", "record", "next_round"]
        for step in ("validate", "train", "share", "confirm"):
            wanted += each(step, study.hospitals)
        for step in ("prepare", "verify", "aggregate", "retire"):
            wanted += each(step, study.nodes)
        assert sorted(shipped["dags"][f"round_{name}"]["tasks"]) == sorted(wanted)


def test_every_actor_s_tasks_wait_in_its_own_queue(tasks: dict[str, dict[str, Any]]) -> None:
    queues = {name: task["queue"] for name, task in tasks.items()}
    for hospital in BREAST_CANCER.hospitals:
        own = [name for name in queues if queues[name] == f"hospital-{hospital}"]
        assert sorted(own) == sorted(f"{step}_{hospital}" for step in ("validate", "train", "share", "confirm"))
    for node in BREAST_CANCER.nodes:
        own = [name for name in queues if queues[name] == f"node-{node}"]
        assert sorted(own) == sorted(f"{step}_{node}" for step in ("prepare", "verify", "aggregate", "retire"))
    assert all(task["queue"].endswith(task["owner"]) for task in tasks.values())
    provider = [name for name in queues if queues[name] == "provider"]
    assert sorted(provider) == ["commit", "finalise", "next_round", "number", "open_round", "record"]


@pytest.mark.parametrize(
    ("task", "upstream"),
    [
        ("number", []),
        ("prepare_north", ["number"]),
        ("open_round", ["number", *each("prepare", BREAST_CANCER.nodes)]),
        ("validate_elm", ["number", "open_round"]),
        ("train_elm", ["number", "validate_elm"]),
        ("share_elm", ["number", "train_elm"]),
        ("commit", ["number", *each("share", BREAST_CANCER.hospitals)]),
        ("verify_north", ["commit", "number"]),
        ("aggregate_north", ["number", *each("verify", BREAST_CANCER.nodes)]),
        ("finalise", ["number", *each("aggregate", BREAST_CANCER.nodes)]),
        ("confirm_elm", ["finalise", "number"]),
        ("retire_north", ["finalise", "number"]),
        (
            "record",
            ["number", *each("confirm", BREAST_CANCER.hospitals), *each("retire", BREAST_CANCER.nodes)],
        ),
        ("next_round", ["record"]),
    ],
)
def test_a_task_waits_for_what_it_reads(tasks: dict[str, dict[str, Any]], task: str, upstream: list[str]) -> None:
    assert tasks[task]["upstream"] == sorted(upstream)


def test_where_sites_are_apart_the_provider_ends_what_they_do_not_take(
    tasks: dict[str, dict[str, Any]], apart: dict[str, dict[str, Any]]
) -> None:
    assert apart.keys() - tasks.keys() == {"end_overdue"}
    assert apart["end_overdue"]["queue"] == "provider"
    assert apart["end_overdue"]["upstream"] == ["number", "open_round"]
    assert apart["record"]["upstream"] == sorted(["end_overdue", *tasks["record"]["upstream"]])
    others = apart.keys() - {"end_overdue", "record"}
    assert {name: apart[name] for name in others} == {name: tasks[name] for name in others}


def test_a_round_goes_on_without_a_hospital_and_is_ended_on_the_ledger_without_a_node(
    tasks: dict[str, dict[str, Any]],
) -> None:
    ends_anyway = {name for name, task in tasks.items() if task["rule"] == "all_done"}
    assert ends_anyway == {"commit", "finalise", "record", *each("retire", BREAST_CANCER.nodes)}
    assert {task["rule"] for name, task in tasks.items() if name not in ends_anyway} == {"all_success"}


def test_every_task_is_tried_again(tasks: dict[str, dict[str, Any]]) -> None:
    assert min(task["retries"] for task in tasks.values()) >= 2


@pytest.fixture
def studies_with_wrong_ones(tmp_path: Path) -> Path:
    folder = tmp_path / "studies"
    shutil.copytree(PROJECT / "studies", folder)
    text = (folder / "breast_cancer.yaml").read_text()
    (folder / "wrong_engine.yaml").write_text(text.replace("engine: spu", "engine: none"))
    (folder / "wrong_layer.yaml").write_text(text.replace("ReLU: {}", "Sigmoid: {}"))
    return folder


def test_a_task_s_process_reads_the_study_of_its_own_dag_alone(tmp_path: Path, studies_with_wrong_ones: Path) -> None:
    studies_with_wrong_ones.joinpath("heart_disease.yaml").write_text("no study that anybody could read")
    program = f"import os; os.environ['_AIRFLOW_PARSING_CONTEXT_DAG_ID'] = 'round_breast_cancer'\n{READ}"
    done = airflow_reads(program, tmp_path, studies_with_wrong_ones)
    assert list(json.loads(done.stdout.rpartition("READ")[2])["dags"]) == ["round_breast_cancer"], done.stderr


def test_tasks_inherit_every_module_that_a_round_s_steps_import(tmp_path: Path) -> None:
    """Ours by their imports, Airflow's by what a task's process loads beside the DAG files themselves."""
    program = """
import sys
sys.argv = ["airflow", "scheduler"]
import airflow.settings
from pipeline.airflow.preload import preload
preload()
before = set(sys.modules)
import airflow.sdk.execution_time.task_runner
import pipeline.round.steps
sys.path.insert(0, "dags")
import rounds
for step in rounds.of_study(True):
    __import__(step.function.partition(":")[0])
print("READ", *sorted(set(sys.modules) - before))
"""
    done = airflow_reads(program, tmp_path, PROJECT / "studies")
    assert done.stdout.rpartition("READ")[2].split() == ["round_tasks", "rounds"], done.stderr


def test_a_wrong_study_file_takes_no_other_study_away(tmp_path: Path, studies_with_wrong_ones: Path) -> None:
    assert sorted(parsed(tmp_path, studies_with_wrong_ones)["dags"]) == sorted(
        f"round_{name}" for name in shipped_studies()
    )


def test_a_wrong_study_file_is_an_import_error_that_names_file_field_and_value(
    tmp_path: Path, studies_with_wrong_ones: Path
) -> None:
    program = "import sys; sys.path.insert(0, 'dags'); import invalid_studies"
    done = airflow_reads(program, tmp_path, studies_with_wrong_ones)
    assert done.returncode == 1
    said = done.stderr.strip().splitlines()[-1]
    for part in (
        "wrong_engine.yaml: engine: got 'none'",
        "wrong_layer.yaml: model.1: got {'Sigmoid': {}}",
        "Sigmoid has no encrypted form",
    ):
        assert part in said
    assert airflow_reads(program, tmp_path, PROJECT / "studies").returncode == 0


def test_only_a_study_with_a_course_has_nodes_that_conclude_it_before_the_record(tmp_path: Path) -> None:
    (tmp_path / "studies").mkdir()
    text = (PROJECT / "studies" / "breast_cancer.yaml").read_text()
    (tmp_path / "studies" / "breast_cancer.yaml").write_text(text)
    (tmp_path / "studies" / "ends.yaml").write_text(f"{text}course: {{most_rounds: 3}}\n")
    dags = parsed(tmp_path / "airflow", tmp_path / "studies")["dags"]
    ends = dags["round_ends"]["tasks"]
    conclude = each("conclude", BREAST_CANCER.nodes)
    assert dags["round_breast_cancer"]["tasks"].keys() == ends.keys() - set(conclude)
    for name in conclude:
        assert ends[name]["upstream"] == [*each("confirm", BREAST_CANCER.hospitals), "number"]
        assert (ends[name]["rule"], ends[name]["queue"]) == ("all_done", f"node-{ends[name]['owner']}")
    assert set(conclude) < set(ends["record"]["upstream"])
