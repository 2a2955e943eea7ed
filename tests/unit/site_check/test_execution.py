from __future__ import annotations

import jwt
import pytest

from pipeline.errors import Refused
from plugins.site_check import execution
from plugins.site_check.execution import Task

OWN = "0198c0de-0000-7000-8000-000000000001"
OTHER = "0198c0de-0000-7000-8000-000000000002"
RUN = "manual__2026-11-29T17:05:04.123456+00:00"
KEY = "x" * 64


class Tasks:
    def task(self, task_instance: str) -> Task | None:
        known = {
            OWN: Task(OWN, "hospital-wren", "round_small", RUN, "train_wren"),
            OTHER: Task(OTHER, "provider", "round_small", RUN, "next_round"),
        }
        return known.get(task_instance)


def bearer(subject: object, scheme: str = "Bearer") -> tuple[bytes, ...]:
    return (f"{scheme} {jwt.encode({'sub': subject}, KEY, algorithm='HS512')}".encode(),)


ITS_OWN = [
    ("PATCH", f"task-instances/{OWN}/run"),
    ("PATCH", f"task-instances/{OWN}/state"),
    ("PUT", f"task-instances/{OWN}/heartbeat"),
    ("GET", f"xcoms/round_small/{RUN}/number/return_value"),
    ("HEAD", f"xcoms/round_small/{RUN}/number/return_value"),
    ("POST", f"xcoms/round_small/{RUN}/train_wren/return_value"),
    ("DELETE", f"xcoms/round_small/{RUN}/train_wren/return_value"),
]
OTHERS = [
    ("PATCH", f"task-instances/{OTHER}/state"),
    ("GET", "task-instances/states"),
    ("GET", f"task-instances/{OWN}"),
    ("POST", f"xcoms/round_small/{RUN}/number/return_value"),
    ("DELETE", f"xcoms/round_small/{RUN}/number/return_value"),
    ("GET", "xcoms/round_small/another/number/return_value"),
    ("GET", f"xcoms/another/{RUN}/number/return_value"),
    ("POST", "dag-runs/round_small/another"),
    ("POST", f"dag-runs/round_small/{RUN}/clear"),
    ("GET", "connections/store"),
    ("GET", "variables/x"),
    ("PUT", "variables/x"),
    ("PUT", "store/asset/by-name/value"),
    ("GET", "openapi.json"),
    ("GET", ""),
]


@pytest.mark.parametrize(("method", "path"), ITS_OWN)
def test_a_task_is_itself_and_reads_what_its_run_passes_on(method: str, path: str) -> None:
    execution.check(method, f"/execution/{path}", bearer(OWN), Tasks())


@pytest.mark.parametrize(("method", "path"), OTHERS)
def test_a_task_of_a_member_does_nothing_else(method: str, path: str) -> None:
    with pytest.raises(Refused, match="not for this task"):
        execution.check(method, f"/execution/{path}", bearer(OWN), Tasks())


def test_the_service_providers_tasks_start_rounds() -> None:
    for method, path in OTHERS:
        execution.check(method, f"/execution/{path}", bearer(OTHER), Tasks())


@pytest.mark.parametrize(
    "authorizations",
    [
        (),
        (b"",),
        (b"Bearer x",),
        (b"Bearer x.y.z",),
        bearer(OWN, "Basic"),
        bearer(OWN, "Bearer "),
        bearer("nobody"),
        bearer(OTHER) + bearer(OWN),
    ],
)
def test_who_is_no_task_asks_nothing(authorizations: tuple[bytes, ...]) -> None:
    with pytest.raises(Refused):
        execution.check("GET", f"/execution/xcoms/round_small/{RUN}/number/x", authorizations, Tasks())


def test_whether_airflow_is_well_everybody_may_ask() -> None:
    execution.check("GET", "/execution/health", (), Tasks())
