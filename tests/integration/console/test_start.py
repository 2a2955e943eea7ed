"""Starting rounds: what reaches Airflow is the person's own token and a number of rounds, nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from starlette.testclient import TestClient

from pipeline.domain import RoundId
from pipeline.host.ports import LOOPBACK
from pipeline.site import identity
from pipeline.site.installation import Installation
from tests.support import serving
from tests.support.archive import Archive
from tests.support.console import AUDITOR, PROVIDER, form_token, of_hospital

NOWHERE = f"http://{LOOPBACK}:1"


def form(**changes: str) -> dict[str, str]:
    """What the page of the provider sends."""
    return {"study": "wisconsin", "rounds": "3", "csrf_token": form_token(PROVIDER.login), **changes}


@dataclass
class AirflowServer:
    """Stands where Airflow's API server listens: writes down what it is asked."""

    port: int
    status: int = 200
    asked: list[tuple[str, str, str | None, Any]] = field(default_factory=list)
    left: Event = field(default_factory=Event)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = serving.body(handler)
        self.asked.append(
            (handler.command, handler.path, handler.headers.get("Authorization"), json.loads(body) if body else None)
        )
        serving.reply(handler, json.dumps(self._said(handler.path)).encode(), self.status)

    def _said(self, path: str) -> Any:
        if self.status != 200:
            return {"detail": "Forbidden"}
        if "taskInstances" in path:
            return {
                "task_instances": [
                    {"task_id": "train_northgate", "state": "running", "try_number": 1, "hostname": "here"}
                ]
            }
        return {"dag_run_id": "manual__1+00:00", "dag_runs": [{"dag_run_id": "manual__1+00:00", "state": "running"}]}


@pytest.fixture
def airflow() -> Iterator[AirflowServer]:
    with serving.serving(AirflowServer) as made:
        yield made


@pytest.fixture
def archive(tmp_path: Path, airflow: AirflowServer) -> Archive:
    made = Archive(tmp_path / "home")
    Installation(store=NOWHERE, rpc=NOWHERE, airflow=f"http://{LOOPBACK}:{airflow.port}").save(
        made.settings.installation
    )
    return made


def as_provider(archive: Archive) -> TestClient:
    pages = archive.pages(PROVIDER)
    pages.cookies.set("_token", "the.persons.token")
    return pages


def test_a_start_goes_to_airflow_with_the_persons_token_and_the_number_of_rounds_alone(
    archive: Archive, airflow: AirflowServer
) -> None:
    answer = as_provider(archive).post("/start", data=form())
    assert answer.status_code == 303
    assert answer.headers["location"] == "/start/runs?study=wisconsin&run=manual__1%2B00%3A00&rounds=3"
    ((method, path, token, said),) = airflow.asked
    assert (method, path, token) == ("POST", "/api/v2/dags/round_wisconsin/dagRuns", "Bearer the.persons.token")
    assert said.pop("dag_run_id").startswith("manual__")
    assert said == {"logical_date": None, "conf": {"rounds": 3}}
    page = as_provider(archive).get(answer.headers["location"]).text
    assert "1 of 3" in page
    assert "train" in page


def test_an_explicit_token_goes_before_the_cookie_as_in_airflow(archive: Archive, airflow: AirflowServer) -> None:
    as_provider(archive).post("/start", data=form(), headers={"Authorization": "Bearer another.token"})
    assert airflow.asked[0][2] == "Bearer another.token"


def test_who_airflow_refuses_starts_nothing_and_reads_why(archive: Archive, airflow: AirflowServer) -> None:
    airflow.status = 403
    answer = as_provider(archive).post("/start", data=form())
    assert answer.status_code == 409
    assert "this account may not do that" in answer.text


def test_a_study_whose_hospitals_here_have_no_records_is_not_started_and_the_page_says_what_to_do(
    archive: Archive, airflow: AirflowServer
) -> None:
    for name in archive.of.hospitals:
        identity.create(archive.settings.hospital(name))
    answer = as_provider(archive).post("/start", data=form())
    assert answer.status_code == 409
    assert "0 of 5 hospitals could take part" in answer.text
    assert "run `wardround up`" in answer.text
    assert airflow.asked == []


def test_a_concluded_study_is_not_offered_and_not_started(archive: Archive, airflow: AirflowServer) -> None:
    archive.maker.finish(RoundId(1))
    (view,) = archive.index.all().rounds
    assert '<option value="wisconsin">' in as_provider(archive).get("/start").text
    archive.pretend([replace(view, concluded="target_reached")])
    page = as_provider(archive).get("/start").text
    assert "<option" not in page
    assert "Every study is concluded" in page
    assert 'data-study="wisconsin"' in page
    answer = as_provider(archive).post("/start", data=form())
    assert answer.status_code == 409
    assert "study wisconsin is concluded" in answer.text
    assert airflow.asked == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"csrf_token": ""}, 403),
        ({"study": "../../wisconsin"}, 404),
        ({"study": "nowhere"}, 404),
        ({"rounds": "0"}, 422),
        ({"rounds": "101"}, 422),
        ({"conf": '{"steps": 99}'}, 422),
        ({"engine": "mp-spdz"}, 422),
    ],
)
def test_a_form_that_does_not_hold_reaches_nobody(
    archive: Archive, airflow: AirflowServer, changes: dict[str, str], code: int
) -> None:
    assert as_provider(archive).post("/start", data=form(**changes)).status_code == code
    assert airflow.asked == []


def test_a_form_with_the_token_of_another_reaches_nobody(archive: Archive, airflow: AirflowServer) -> None:
    sent = form(csrf_token=form_token(AUDITOR.login))
    assert as_provider(archive).post("/start", data=sent).status_code == 403
    assert airflow.asked == []


def test_without_a_token_of_airflows_nothing_is_sent(archive: Archive, airflow: AirflowServer) -> None:
    assert archive.pages(PROVIDER).post("/start", data=form()).status_code == 401
    assert airflow.asked == []


@pytest.mark.parametrize("who", [AUDITOR, of_hospital("northgate")], ids=lambda who: who.role)
def test_only_the_provider_starts_rounds_or_proposes(archive: Archive, airflow: AirflowServer, who: Any) -> None:
    pages = archive.pages(who)
    token = {"csrf_token": form_token(who.login)}
    proposal = {"base": "wisconsin", "name": "new", "fields": "seed: 9", **token}
    for path in ("/start", "/experiments"):
        assert pages.get(path).status_code == 403
    assert pages.post("/start", data=form(**token)).status_code == 403
    for path in ("/experiments", "/experiments/write", "/experiments/file"):
        assert pages.post(path, data=proposal).status_code == 403
    assert airflow.asked == []
    assert not (archive.settings.studies / "new.yaml").exists()


def test_without_airflow_the_start_says_so(archive: Archive) -> None:
    Installation.model_validate(dict.fromkeys(("store", "rpc", "airflow"), NOWHERE)).save(archive.settings.installation)
    answer = as_provider(archive).post("/start", data=form())
    assert answer.status_code == 503
    assert "run `wardround up`" in answer.text
