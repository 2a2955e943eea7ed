"""Studies that end by themselves in a real Airflow: one on its target by its schedule, which stops, one on patience.

They come to an installation that runs.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.domain import RoundStatus
from pipeline.export.forms import FORMS
from pipeline.round_steps import dag_id
from pipeline.study.study import Study
from tests.support.answers import compared
from tests.support.site import Site, until

from .conftest import STUDY

pytestmark = [pytest.mark.airflow, pytest.mark.store, pytest.mark.anvil, pytest.mark.spu, pytest.mark.timeout(1800)]

SMALL = STUDY | {"hospitals": ["aster", "birch", "cedar"], "deadlines": {"commit_seconds": 400, "result_seconds": 800}}
STUDIES = {
    "reaches": SMALL
    | {"schedule": "* * * * *", "course": {"target": {"measure": "balanced_accuracy", "value": 0.5}, "most_rounds": 9}},
    "patient": SMALL | {"course": {"patience": 1, "most_rounds": 5}},
}
_TWO_RUNS_SECONDS = 130
"""In which a schedule by the minute starts two."""


@dataclass(frozen=True)
class Stopped:
    """A schedule that its study's end has stopped."""

    runs: dict[str, str]
    """That it had started by then, with the state of each."""
    since: float
    """When, by the clock of this process."""


@pytest.fixture(scope="module")
def stopped(site: Site) -> Stopped:
    """The schedule of the study that reaches its target; it starts rounds from the first minute on."""
    site.add(STUDIES)
    until(lambda: site.airflow.get(f"/api/v2/dags/{dag_id('reaches')}").is_success, 120)
    until(lambda: _schedule(site, "reaches") is None, 900)
    until(lambda: all(state in ("success", "failed") for state in site.runs("reaches").values()), 120)
    return Stopped(site.runs("reaches"), time.monotonic())


def _schedule(site: Site, study: str) -> str | None:
    """When Airflow starts runs of the study's DAG by itself."""
    shown = site.airflow.get(f"/api/v2/dags/{dag_id(study)}").raise_for_status().json()["timetable_summary"]
    return None if shown in (None, "None", "null") else str(shown)


def _reasons(site: Site, study: str) -> list[str | None]:
    ended = [state for state in site.rounds(study) if state.status is RoundStatus.FINALISED]
    return [state.concluded.reason if state.concluded else None for state in ended]


def test_a_scheduled_study_that_reaches_its_target_concludes(site: Site, stopped: Stopped) -> None:
    reasons = _reasons(site, "reaches")
    assert reasons == [None] * (len(reasons) - 1) + ["target_reached"]
    assert set(stopped.runs.values()) == {"success"}, "a run that waited skips its tasks"
    assert len(stopped.runs) >= len(reasons)


def test_a_study_that_gains_nothing_ends_by_one_command_without_a_number(site: Site, stopped: Stopped) -> None:
    said = site.wardround("run", "patient", seconds=500)
    reasons = _reasons(site, "patient")
    assert reasons[-1] in ("nothing_gained", "most_rounds")
    assert reasons[:-1] == [None] * (len(reasons) - 1)
    assert said.splitlines()[-1].startswith(f"patient is concluded with round {site.rounds('patient')[-1].round}: ")


def test_no_further_round_of_a_concluded_study_runs_and_the_command_says_why(site: Site, stopped: Stopped) -> None:
    for arguments in (("run", "reaches"), ("run", "reaches", "--rounds", "1")):
        with pytest.raises(AssertionError, match="exit 2") as refused:
            site.wardround(*arguments)
        assert "study reaches: concluded with round" in str(refused.value)
        assert "wardround study continue reaches NAME" in str(refused.value)


@pytest.mark.parametrize("study", STUDIES)
def test_the_final_models_file_answers_every_hospitals_records_as_predict_does(
    site: Site, stopped: Stopped, study: str, tmp_path: Path
) -> None:
    form = FORMS["onnx"]
    folder = tmp_path / "taken"
    site.says("model", "export", study, "--format", form.name, "--out", str(folder))
    for hospital in Study.load(site.settings.studies / f"{study}.yaml").hospitals:
        assert compared(folder / form.file, study, hospital, site.settings) > 20


def test_show_report_and_audit_say_why(site: Site, stopped: Stopped) -> None:
    last = next(state for state in site.rounds("reaches") if state.concluded)
    assert "reached the target of 50 %" in site.wardround("show", str(last.round))
    shown: dict[str, Any] = site.json("show", str(last.round))
    assert shown["concluded"] == "target_reached"
    report = site.observer.audit(last.round)
    assert report.passed, report.first_problem


def test_a_schedule_stays_stopped(site: Site, stopped: Stopped) -> None:
    until(lambda: time.monotonic() > stopped.since + _TWO_RUNS_SECONDS, _TWO_RUNS_SECONDS)
    assert site.runs("reaches") == stopped.runs
