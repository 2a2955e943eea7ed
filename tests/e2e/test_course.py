"""Studies that end by themselves in a real Airflow: one on its target by its schedule, which stops, one on patience."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.domain import RoundStatus
from pipeline.round_steps import dag_id
from tests.support.site import Site, until

from .conftest import DEAD_PROXY, STUDY

pytestmark = [pytest.mark.airflow, pytest.mark.store, pytest.mark.anvil, pytest.mark.spu, pytest.mark.timeout(1800)]

SMALL = STUDY | {"hospitals": ["aster", "birch", "cedar"], "deadlines": {"commit_seconds": 400, "result_seconds": 800}}
STUDIES = {
    "reaches": SMALL
    | {"schedule": "* * * * *", "course": {"target": {"measure": "balanced_accuracy", "value": 0.5}, "most_rounds": 9}},
    "patient": SMALL | {"course": {"patience": 1, "most_rounds": 5}},
}


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """An installation of its own, whose schedule starts rounds from the first minute on."""
    with tempfile.TemporaryDirectory(prefix="wardround-") as folder:
        studies = Path(folder) / "studies"
        studies.mkdir()
        for name, study in STUDIES.items():
            (studies / f"{name}.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
        made = Site(Path(folder) / "home", studies, DEAD_PROXY)
        try:
            made.wardround("up")
            yield made
        finally:
            made.wardround("down", ends_with=None)
            made.manager.end_stray()


@pytest.fixture(scope="module")
def scheduled(site: Site) -> dict[str, str]:
    """The runs that the schedule started, once Airflow has had time for a few more."""
    until(lambda: _schedule(site, "reaches") is None, 900)
    until(lambda: all(state in ("success", "failed") for state in site.runs("reaches").values()), 120)
    before = dict(site.runs("reaches"))
    time.sleep(130)  # a schedule by the minute would have started two
    assert site.runs("reaches") == before
    return before


def _schedule(site: Site, study: str) -> str | None:
    """When Airflow starts runs of the study's DAG by itself."""
    shown = site.airflow.get(f"/api/v2/dags/{dag_id(study)}").raise_for_status().json()["timetable_summary"]
    return None if shown in (None, "None", "null") else str(shown)


def _reasons(site: Site, study: str) -> list[str | None]:
    ended = [state for state in site.rounds(study) if state.status is RoundStatus.FINALISED]
    return [state.concluded.reason if state.concluded else None for state in ended]


def test_a_scheduled_study_that_reaches_its_target_concludes_and_its_schedule_stops(
    site: Site, scheduled: dict[str, str]
) -> None:
    reasons = _reasons(site, "reaches")
    assert reasons == [None] * (len(reasons) - 1) + ["target_reached"]
    assert set(scheduled.values()) == {"success"}, "a run that waited skips its tasks"
    assert len(scheduled) >= len(reasons)


def test_a_study_that_gains_nothing_ends_by_one_command_without_a_number(site: Site, scheduled: dict[str, str]) -> None:
    said = site.wardround("run", "patient", seconds=500)
    reasons = _reasons(site, "patient")
    assert reasons[-1] in ("nothing_gained", "most_rounds")
    assert reasons[:-1] == [None] * (len(reasons) - 1)
    assert said.splitlines()[-1].startswith(f"patient is concluded with round {site.rounds('patient')[-1].round}: ")


def test_no_further_round_of_a_concluded_study_runs_and_the_command_says_why(
    site: Site, scheduled: dict[str, str]
) -> None:
    for arguments in (("run", "reaches"), ("run", "reaches", "--rounds", "1")):
        with pytest.raises(AssertionError, match="exit 2") as refused:
            site.wardround(*arguments)
        assert "study reaches: concluded with round" in str(refused.value)
        assert "wardround study continue reaches NAME" in str(refused.value)


def test_show_report_and_audit_say_why(site: Site, scheduled: dict[str, str]) -> None:
    last = next(state for state in site.rounds("reaches") if state.concluded)
    assert "reached the target of 50 %" in site.wardround("show", str(last.round))
    shown: dict[str, Any] = site.json("show", str(last.round))
    assert shown["concluded"] == "target_reached"
    report = site.observer.audit(last.round)
    assert report.passed, report.first_problem
