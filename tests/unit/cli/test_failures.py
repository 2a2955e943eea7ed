from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pipeline.cli.failures import Failures, cannot_end_with_a_model, decisive
from pipeline.errors import Refused
from pipeline.site.airflow_api import Airflow, RunState, TaskState, at_work
from tests.support.installations import settings_in, study

NODES = ("north", "east", "west")


class Logs(Airflow):
    """Airflow, of which only the tasks' logs answer: what each task raised, by name."""

    def __init__(self, raised: dict[str, tuple[str, str] | None]) -> None:
        self.raised = raised

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        assert method == "GET"
        raised = self.raised[path.split("/taskInstances/")[1].partition("/")[0]]
        ended = (
            []
            if raised is None
            else [{"event": "Task failed", "error_detail": [{"exc_type": raised[0], "exc_value": raised[1]}]}]
        )
        return {"content": [{"event": "::group::Log message source details"}, *ended, {"event": "bye"}]}


def votes(*states: str | None) -> list[TaskState]:
    return [TaskState(f"aggregate_{name}", state, 1) for name, state in zip(NODES, states, strict=False)]


def said(tmp_path: Path, raised: dict[str, tuple[str, str] | None], *looks: list[TaskState]) -> tuple[str, Failures]:
    text = io.StringIO()
    failures = Failures(
        settings_in(tmp_path), study(), Logs(raised), Console(file=text, soft_wrap=True, highlight=False)
    )
    for tasks in looks:
        failures.look("round 1 of 1", RunState("manual__1", "running"), tasks)
    return text.getvalue(), failures


@pytest.mark.parametrize(
    ("states", "hopeless"),
    [
        ((None, None, None), False),
        (("success", "failed", "running"), False),
        (("success", "success", "failed"), False),
        (("success", "failed", "failed"), True),
        (("upstream_failed", "upstream_failed", "upstream_failed"), True),
        (("running", "failed", "skipped"), True),
    ],
)
def test_a_round_is_hopeless_once_no_majority_can_vote(states: tuple[str | None, ...], hopeless: bool) -> None:
    assert cannot_end_with_a_model(votes(*states)) is hopeless


def test_before_airflow_lists_the_tasks_nothing_is_hopeless() -> None:
    assert not cannot_end_with_a_model([])


def test_a_failure_is_said_once_with_its_cause_and_its_log(tmp_path: Path) -> None:
    failed = TaskState("verify_north", "failed", 3)
    raised = {"verify_north": ("EngineFailed", "mp-spdz: party 1 broke off; its own log says why")}
    text, failures = said(tmp_path, raised, [failed], [failed])
    assert text.splitlines() == [
        "round 1 of 1: verify_north failed: mp-spdz: party 1 broke off; its own log says why",
        (
            "  log:"
            f" {tmp_path}/airflow/logs/dag_id=round_breast_cancer/run_id=manual__1/task_id=verify_north/attempt=3.log"
        ),
    ]
    assert failures.causes == {"verify_north": raised["verify_north"][1]}


def test_each_try_that_fails_is_said_as_one_that_is_tried_again(tmp_path: Path) -> None:
    raised = {"verify_north": ("Unavailable", "the store does not answer")}
    text, failures = said(
        tmp_path, raised, *([TaskState("verify_north", "up_for_retry", attempt)] for attempt in (1, 1, 2))
    )
    assert text.splitlines() == ["round 1 of 1: verify_north failed and is tried again: the store does not answer"] * 2
    assert failures.causes == {}


def test_of_an_error_that_no_retry_cures_the_sentence_is_said(tmp_path: Path) -> None:
    raised = {
        "commit": ("AirflowFailException", "RoundAborted: round 3: 2 hospitals shared an update, want at least 3")
    }
    text, _ = said(tmp_path, raised, [TaskState("commit", "failed", 1)])
    assert "commit failed: round 3: 2 hospitals shared an update, want at least 3\n" in text


def test_a_hospital_whose_step_fails_is_said_to_be_absent(tmp_path: Path) -> None:
    text, _ = said(tmp_path, {"train_elm": ("Misconfigured", "elm: no records")}, [TaskState("train_elm", "failed", 1)])
    assert "train_elm failed, so elm is absent: elm: no records" in text


def test_an_error_that_nobody_foresaw_may_quote_a_record_and_is_not_repeated(tmp_path: Path) -> None:
    for raised in (
        ("ValueError", "could not convert string to float: 'age 57'"),
        ("AirflowFailException", "age 57: bad"),
    ):
        text, _ = said(tmp_path, {"train_elm": raised}, [TaskState("train_elm", "failed", 1)])
        assert "age" not in text
        assert "an unforeseen" in text


def test_a_round_is_at_the_last_step_that_somebody_takes_and_not_at_what_stays_beside_it() -> None:
    running = ("end_overdue", "validate_elm", "share_birch")
    assert at_work([TaskState(name, "running", 1) for name in running]) == "share"
    assert at_work([TaskState("end_overdue", "running", 1), TaskState("train_elm", "queued", 1)]) is None


def test_a_task_that_no_worker_took_names_the_site_that_is_away(tmp_path: Path) -> None:
    text, _ = said(tmp_path, {}, [TaskState("validate_elm", "failed", 1, started=False)])
    assert "validate_elm failed, so elm is absent: the site of elm did not take it in time" in text


def test_a_task_whose_process_was_killed_has_no_word(tmp_path: Path) -> None:
    text, _ = said(tmp_path, {"verify_north": None}, [TaskState("verify_north", "failed", 1)])
    assert "verify_north failed: its process ended without a word" in text


def test_a_log_that_airflow_does_not_show_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise Refused("got HTTP 403")

    monkeypatch.setattr(Logs, "_ask", refuse)
    text, failures = said(tmp_path, {}, [TaskState("commit", "failed", 1)])
    assert "commit failed: Airflow does not show this account why" in text
    assert failures.causes.keys() == {"commit"}


def test_where_the_ledger_does_not_answer_the_round_s_end_is_said_without_a_time(tmp_path: Path) -> None:
    text, _ = said(
        tmp_path,
        {},
        votes("upstream_failed", "upstream_failed", None),
        votes("upstream_failed", "upstream_failed", None),
    )
    assert (
        text.count("no majority of the nodes can sign a model any more. The round ends at its deadline on the ledger")
        == 1
    )


def test_markup_of_an_error_is_shown_as_it_is(tmp_path: Path) -> None:
    text, _ = said(tmp_path, {"commit": ("Refused", "got [red] and [/]")}, [TaskState("commit", "failed", 1)])
    assert "got [red] and [/]" in text


def test_the_last_word_is_the_first_task_that_no_round_can_do_without() -> None:
    causes = {"validate_elm": "bad data", "verify_north": "killed", "verify_east": "killed", "finalise": "aborted"}
    assert decisive(causes) == "verify_north: killed; 3 other tasks failed, as said above"
    assert (
        decisive({"validate_elm": "bad data", "train_ash": "no model"})
        == "validate_elm: bad data; 1 other task failed, as said above"
    )
    assert decisive({"commit": "too few"}) == "commit: too few"
    assert decisive({}) == "Airflow says no more"
