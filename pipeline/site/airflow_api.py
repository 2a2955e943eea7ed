"""Airflow's public API as the command uses it: trigger a study's DAG and watch its runs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from pipeline import errors, round_steps
from pipeline.errors import Misconfigured, Refused, Unavailable
from pipeline.host import trust
from pipeline.host.secret import Secret

_BESIDE = "end_overdue"
"""Stays with a round from its opening to its end."""
STEPS = ("number", _BESIDE, *round_steps.NAMES, "next_round")
"""Of a round, in their order, between Airflow's own; a task is called after its step and, where several actors take it,
its actor."""

_FINAL = "AirflowFailException"
"""What `dags/round_tasks.py` makes of an error that no retry cures; its text begins with the error's kind."""
_FORESEEN = frozenset(
    name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.WardroundError)
)

_TRIES = 3
_PAUSE_SECONDS = 1.0

_DONE = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


@dataclass(frozen=True)
class TaskState:
    """One task of a run; `state` is Airflow's word, None before it is scheduled."""

    task: str
    state: str | None
    attempt: int = 0
    """Of the present or last try, from 1; 0 before the first."""
    started: bool = True
    """Whether a worker has taken it."""

    @property
    def done(self) -> bool:
        """Whether it will not run any more."""
        return self.state in _DONE

    @property
    def step(self) -> str:
        """The step of a round that it takes: its id without the actor's name."""
        return next((step for step in STEPS if self.task == step or self.task.startswith(f"{step}_")), self.task)

    @property
    def actor(self) -> str:
        """Whose task it is where several actors take its step; else empty."""
        return self.task.removeprefix(self.step).removeprefix("_")


def at_work(tasks: Iterable[TaskState]) -> str | None:
    """The step that a run is at, the last of those that somebody takes; None between two."""
    running = {task.step for task in tasks if task.state == "running"} - {_BESIDE}
    return next((step for step in reversed(STEPS) if step in running), None)


@dataclass(frozen=True)
class RunState:
    """One run of a DAG."""

    run_id: str
    state: str

    @property
    def ended(self) -> bool:
        """Whether nothing of it will run any more."""
        return self.state in ("success", "failed")


class Airflow:
    """Airflow's API, used with one person's token.

    Raises Unavailable when Airflow does not answer, Refused without the right, Misconfigured otherwise.
    """

    def __init__(self, url: str, token: Secret, authority: Path | None = None) -> None:
        said = {"Authorization": f"Bearer {token.text()}"}
        self._client = httpx.Client(base_url=url, timeout=30, headers=said, verify=trust.context(authority))

    @classmethod
    def login(cls, url: str, user: str, password: Secret, authority: Path | None = None) -> Airflow:
        """A session of a user's own."""
        with _border("/auth/token"):
            account = {"username": user, "password": password.text()}
            answer = httpx.post(f"{url}/auth/token", json=account, timeout=30, verify=trust.context(authority))
            answer.raise_for_status()
            return cls(url, Secret(str(answer.json()["access_token"]).encode()), authority)

    def trigger(self, dag: str, rounds: int) -> str:
        """Start a run for so many rounds, one after the other; the first run's id.

        Two runs that are asked for in one moment may find Airflow's database locked. The run has its name from here, so
        that asking again starts no second one.
        """
        run = f"manual__{datetime.now(UTC).isoformat()}"
        asked = {"dag_run_id": run, "logical_date": None, "conf": {"rounds": rounds}}
        for _ in range(_TRIES - 1):
            try:
                return self._start(dag, asked)
            except Unavailable:
                time.sleep(_PAUSE_SECONDS)
                if self.series(dag, run):
                    return run
        return self._start(dag, asked)

    def _start(self, dag: str, asked: Mapping[str, object]) -> str:
        return str(self._ask("POST", f"/api/v2/dags/{dag}/dagRuns", json=asked)["dag_run_id"])

    def series(self, dag: str, first: str) -> tuple[RunState, ...]:
        """The run `first` and those that it triggered in turn, in order."""
        answer = self._ask(
            "GET",
            f"/api/v2/dags/{dag}/dagRuns",
            params={"order_by": "run_after", "limit": 100, "dag_run_id_pattern": f"{first}%"},
        )
        runs = [RunState(run["dag_run_id"], run["state"]) for run in answer["dag_runs"]]
        return tuple(run for run in runs if run.run_id == first or run.run_id.startswith(f"{first}~"))

    def tasks(self, dag: str, run: str) -> tuple[TaskState, ...]:
        """The run's tasks."""
        answer = self._ask("GET", f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances", params={"limit": 500})
        return tuple(
            # A time of its start is given also to a task that was failed in its queue.
            TaskState(item["task_id"], item["state"], item["try_number"], bool(item["hostname"]))
            for item in answer["task_instances"]
        )

    def fail(self, dag: str, run: str, task: str) -> None:
        """Say that a task has failed, so that what waits for its end goes on; whoever works on it is stopped."""
        self._ask("PATCH", f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task}", json={"new_state": "failed"})

    def cause(self, dag: str, run: str, task: TaskState) -> str:
        """Why a task's last try failed, in the words of the error that ended it.

        Of an error that Wardround did not foresee, only its type.
        """
        if not task.started:
            whose = f"the site of {task.actor}" if task.actor else "the provider's site"
            return f"{whose} did not take it in time: is it up, and does it reach the provider?"
        answer = self._ask("GET", f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task.task}/logs/{task.attempt}")
        raised = [
            line["error_detail"][0] for line in answer["content"] if isinstance(line, dict) and line.get("error_detail")
        ]
        if not raised:
            return "its process ended without a word"
        raised_as = str(raised[-1]["exc_type"])
        text = str(raised[-1]["exc_value"])
        kind, _, text = text.partition(": ") if raised_as == _FINAL else (raised_as, "", text)
        # What others' code says of a hospital's records may quote them.
        return text if kind in _FORESEEN else f"an unforeseen {raised_as}"

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        with _border(path):
            answer = self._client.request(method, path, **options)
            answer.raise_for_status()
            return answer.json()


@contextmanager
def _border(path: str) -> Iterator[None]:
    try:
        yield
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        text = error.response.text[:300]
        if status >= 500:
            raise Unavailable(f"Airflow {path}: got HTTP {status}; `wardround status` says what is down") from error
        if status in (401, 403):
            raise Refused(
                f"Airflow {path}: got HTTP {status}: this account may not do that; log in anew, or ask the provider"
            ) from error
        raise Misconfigured(f"Airflow {path}: got HTTP {status}: {text}") from error
    except httpx.HTTPError as error:
        if trouble := trust.bad_certificate(error):
            raise Misconfigured(f"Airflow {path}: {trouble}") from error
        raise Unavailable(
            f"Airflow {path}: got {type(error).__name__}; run `wardround up`, `wardround status` says what is down"
        ) from error
