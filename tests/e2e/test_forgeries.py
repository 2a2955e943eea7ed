"""Whoever rules Airflow can waste time, and nothing else: forged conf, XComs and task states make no result."""

from __future__ import annotations

import time

import pytest

from pipeline.domain import RoundStatus
from tests.adversary import attack
from tests.support.site import Site

from .conftest import HOSPITALS

pytestmark = [pytest.mark.airflow, pytest.mark.store, pytest.mark.anvil, pytest.mark.spu]


@pytest.fixture(scope="module", autouse=True)
def _forger(site: Site) -> None:
    """Somebody who may do everything in Airflow, there before a task starts."""
    assert site.administrator


def forge(site: Site, path: str, content: dict[str, object]) -> None:
    """Airflow answers 500 when its SQLite is locked for a moment; a forger would try again too."""
    for _ in range(10):
        answer = site.administrator.patch(path, json=content)
        if answer.status_code < 500:
            break
        time.sleep(0.5)
    answer.raise_for_status()


@attack(
    by="provider",
    to="change",
    tries="to decide a round by Airflow: forged settings, a validation that is said to have passed",
    costs="the hospital's place in the round",
    seen="the hospital, absent",
)
def test_forged_conf_and_a_validation_that_is_only_said_to_have_passed_change_no_verdict(site: Site) -> None:
    before = len(site.rounds("small"))
    model = site.current_model("small")
    forged = {
        "round": 1,
        "round_id": 1,
        "study": "brief",
        "hospitals": ["elm"],
        "misbehaviour": "label_flip",
        "previous_model": "0" * 64,
    }
    run = site.trigger("small", **forged)
    site.await_task(run, "number", "running", "success")
    forge(site, f"{run}/taskInstances/validate_aster", {"new_state": "success"})
    assert site.await_end(run) == "success"
    (state,) = site.rounds("small")[before:]
    assert state.opened.previous_model == model
    shown = site.json("show", str(state.round))
    # Its records were not validated, so it has nothing to hand in.
    verdicts = shown["verdicts"]
    assert verdicts.pop("aster") == "absent"
    # After four rejections it is in quarantine, so absent.
    assert verdicts.pop("elm") in ("rejected", "absent")
    assert verdicts == {name: "accepted" for name in HOSPITALS if name not in ("aster", "elm")}
    site.audit_all()


@attack(
    by="provider",
    to="change",
    tries="to run steps over a finished round by a forged number",
    costs="the round",
    seen="a run that failed",
)
def test_a_forged_round_number_leaves_the_round_without_a_result_and_the_finished_one_as_it_was(site: Site) -> None:
    finished = site.rounds("small")[0].round
    objects = sorted(info.key for info in site.observer.store.list("reports", f"rounds/{finished}/hospitals/"))
    model = site.current_model("brief")
    before = len(site.rounds("brief"))
    run = site.trigger("brief")
    site.await_round("brief", before)
    forge(site, f"{run}/taskInstances/number/xcomEntries/return_value", {"value": finished})
    assert site.await_end(run) == "failed"
    (state,) = site.rounds("brief")[before:]
    assert state.status in (RoundStatus.OPEN, RoundStatus.ABORTED)
    assert site.current_model("brief") == model
    assert sorted(info.key for info in site.observer.store.list("reports", f"rounds/{finished}/hospitals/")) == objects


@attack(
    by="provider",
    to="change",
    tries="to get a model by tasks that are said to have succeeded",
    costs="the round",
    seen="a run that failed",
)
def test_tasks_that_are_only_said_to_have_succeeded_make_no_model_and_the_next_round_clears_up(site: Site) -> None:
    left = site.rounds("brief")[-1].round
    model = site.current_model("brief")
    before = len(site.rounds("brief"))
    run = site.trigger("brief")
    site.await_task(run, "number", "running", "success")
    for node in ("north", "east", "west"):
        forge(site, f"{run}/taskInstances/aggregate_{node}", {"new_state": "success"})
    assert site.await_end(run) == "failed"
    assert site.ledger.status(left) is RoundStatus.ABORTED
    assert len(site.rounds("brief")) == before + 1
    assert site.rounds("brief")[-1].status is not RoundStatus.FINALISED
    assert site.current_model("brief") == model
    site.audit_all()
