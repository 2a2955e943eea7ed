"""A run is started once, whatever Airflow answers at first."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import httpx
import pytest

from pipeline.errors import Unavailable
from pipeline.host.secret import Secret
from pipeline.site import airflow_api
from pipeline.site.airflow_api import Airflow

DAG = "round_small"


@dataclass
class Busy:
    """An Airflow whose database is locked at the first tries; `keeps` whether it starts what it answers so."""

    locked: int
    keeps: bool = False
    posted: int = 0
    runs: list[str] = field(default_factory=list)

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"dag_runs": [{"dag_run_id": run, "state": "queued"} for run in self.runs]})
        self.posted += 1
        locked = self.posted <= self.locked
        run = json.loads(request.content)["dag_run_id"]
        if not locked or self.keeps:
            self.runs.append(run)
        return httpx.Response(500) if locked else httpx.Response(200, json={"dag_run_id": run})


def airflow(busy: Busy, monkeypatch: pytest.MonkeyPatch) -> Airflow:
    monkeypatch.setattr(airflow_api, "_PAUSE_SECONDS", 0.0)
    made = Airflow("http://airflow", Secret(b"token"))
    monkeypatch.setattr(
        made, "_client", httpx.Client(base_url="http://airflow", transport=httpx.MockTransport(busy.answer))
    )
    return made


@pytest.mark.parametrize(("locked", "keeps", "posted"), [(0, False, 1), (2, False, 3), (1, True, 1)])
def test_a_run_is_started_once_though_the_database_is_locked_at_first(
    locked: int, keeps: bool, posted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = Busy(locked, keeps)
    assert [airflow(busy, monkeypatch).trigger(DAG, 2)] == busy.runs
    assert busy.posted == posted


def test_an_airflow_that_stays_locked_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = Busy(9)
    with pytest.raises(Unavailable, match="HTTP 500"):
        airflow(busy, monkeypatch).trigger(DAG, 1)
    assert busy.runs == []
