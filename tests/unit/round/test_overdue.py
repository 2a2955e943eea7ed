"""A hospital whose site takes nothing is absent, and nothing of Airflow's waits for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pipeline.airflow import overdue
from pipeline.domain import HospitalName, RoundId, RoundStatus
from pipeline.round_steps import ROUND, Actor
from pipeline.site.airflow_api import Airflow, TaskState
from tests.support.memory.site import MemorySite
from tests.support.rounds import Play

ASTER, *OTHERS = (HospitalName(name) for name in ("aster", "birch", "cedar", "dahlia"))
RUN = "manual"
DEADLINES = {"commit_seconds": 12_000, "result_seconds": 36_000}
TO_COMMIT = 2000


class Queue(Airflow):
    """Airflow with one hospital's tasks waiting in its queue; the others' have ended."""

    def __init__(self, after: Callable[[], object]) -> None:
        steps = [step.name for step in ROUND if step.actor is Actor.HOSPITAL]
        self.states = {f"{step}_{name}": TaskState(f"{step}_{name}", "success", 1) for step in steps for name in OTHERS}
        self.states |= {f"{step}_{ASTER}": TaskState(f"{step}_{ASTER}", None, 0, False) for step in steps}
        self.queue("validate")
        self.failed: list[str] = []
        self._after = after

    def queue(self, step: str) -> None:
        """Let the worker's task wait."""
        self.states[f"{step}_{ASTER}"] = TaskState(f"{step}_{ASTER}", "queued", 1, False)

    def tasks(self, dag: str, run: str) -> tuple[TaskState, ...]:
        assert (dag, run) == ("round_away", RUN)
        return tuple(self.states.values())

    def fail(self, dag: str, run: str, task: str) -> None:
        self.failed.append(task)
        self.states[task] = replace(self.states[task], state="failed")
        if task == f"validate_{ASTER}":
            for step in ("train", "share"):
                name = f"{step}_{ASTER}"
                self.states[name] = replace(self.states[name], state="upstream_failed")
            self._after()


@pytest.fixture
def opened(site: MemorySite, request: pytest.FixtureRequest) -> tuple[Play, RoundId]:
    play = site.play("away", hospitals=[ASTER, *OTHERS], deadlines=DEADLINES)
    return play, play.open(request.node.name)


def stay(play: Play, round_id: RoundId, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    def log_in(_: Any) -> Airflow:
        return queue

    monkeypatch.setattr(overdue, "log_in", log_in)
    # A busy machine plays the rest of a round for a while.
    monkeypatch.setattr(overdue, "_MOST_TO_COMMIT", TO_COMMIT)
    return overdue.end_overdue(play.study.name, round_id, RUN, play.settings)


def test_a_hospital_that_is_away_is_failed_in_time_for_the_others_model(
    site: MemorySite, opened: tuple[Play, RoundId], monkeypatch: pytest.MonkeyPatch
) -> None:
    play, round_id = opened
    play.hospitals(round_id, OTHERS)

    def go_on() -> None:
        play.commit(round_id)
        play.verify(round_id)
        play.aggregate(round_id)
        play.provider("finalise", round_id)
        queue.queue("confirm")

    queue = Queue(go_on)
    # The commit's deadline is near, and has not passed; hospitals have taken their time before.
    site.chain.ahead += DEADLINES["commit_seconds"] - TO_COMMIT
    assert stay(play, round_id, queue, monkeypatch) == (f"validate_{ASTER}", f"confirm_{ASTER}")
    assert site.ledger.status(round_id) is RoundStatus.FINALISED
    assert not [task for task in queue.states.values() if not task.done]


def test_nothing_is_failed_before_the_time_to_hand_in_is_nearly_over(
    site: MemorySite, opened: tuple[Play, RoundId], monkeypatch: pytest.MonkeyPatch
) -> None:
    play, round_id = opened
    opening = site.ledger.block_time()
    waited = []

    def wait(_: float) -> None:
        waited.append(site.ledger.block_time() - opening)
        site.chain.ahead += 500

    def fail() -> None:
        raise InterruptedError

    monkeypatch.setattr(overdue.time, "sleep", wait)
    with pytest.raises(InterruptedError):
        stay(play, round_id, Queue(fail), monkeypatch)
    last = DEADLINES["commit_seconds"] - TO_COMMIT
    assert last - 1000 < max(waited) < last
    assert site.ledger.block_time() - opening < DEADLINES["commit_seconds"]
