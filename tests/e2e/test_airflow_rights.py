"""What people of a hospital and auditors may not do in Airflow itself, and how one of them comes in."""

from __future__ import annotations

import re

import httpx
import pytest

from pipeline.domain import HospitalName
from pipeline.installation import Installation
from pipeline.roles import enrolment
from pipeline.secret import Secret
from pipeline.setup import airflow
from tests.adversary import attack
from tests.support.site import Site

from .conftest import HOSPITALS

pytestmark = pytest.mark.airflow

PASSWORD = "correct horse battery"


@attack(
    by="hospital",
    to="stop",
    tries="to pause, clear, delete or start rounds in Airflow, or read its connections",
    costs="nothing",
    seen="nothing: 403",
)
def test_hospitals_and_auditors_read_airflow_and_change_nothing_there(site: Site) -> None:
    dag = "/api/v2/dags/round_small"
    changes = (
        ("POST", f"{dag}/dagRuns", {"logical_date": None, "conf": {}}),
        ("POST", f"{dag}/clearTaskInstances", {"dry_run": True}),
        ("PATCH", dag, {"is_paused": True}),
        ("DELETE", dag, None),
        ("POST", "/api/v2/variables", {"key": "k", "value": "v"}),
        ("POST", "/api/v2/connections", {"connection_id": "c", "conn_type": "http"}),
        ("POST", "/auth/fab/v1/users", {"username": "u", "password": PASSWORD, "email": "u@u.org", "first_name": "u", "last_name": "u"}),
    )
    secrets = ("/api/v2/connections", "/api/v2/variables", "/api/v2/config", "/auth/fab/v1/users", "/auth/fab/v1/roles")
    for user in ("auditor", "hospital-aster"):
        person = site.airflow_as(user)
        assert person.get(dag).status_code == 200
        for method, path, body in changes:
            answer = person.request(method, path, json=body)
            assert answer.status_code == 403, f"{user}: {method} {path}: {answer.status_code} {answer.text}"
        for path in secrets:
            assert person.get(path).status_code == 403, f"{user}: {path}"
    for path in secrets:
        assert site.airflow.get(path).status_code == 403, f"provider: {path}"


def test_a_person_comes_in_through_airflows_own_login_and_goes_when_suspended(site: Site) -> None:
    home = Installation.load(site.settings.installation).airflow
    address, signature = enrolment.vouch(HospitalName("aster"), "ada@aster.org", site.settings)
    visitor = httpx.Client(base_url=home)
    form = {
        "name": "Ada Hart",
        "email": "ada@aster.org",
        "postal": "1 Ward Lane",
        "hospital": "aster",
        "address": address,
        "signature": signature,
        "password": PASSWORD,
        "password_again": PASSWORD,
        "csrf_token": _token(visitor.get("/wardround/register").text),
    }
    assert visitor.post("/wardround/register", data=form).headers["location"] == "/wardround/registered"
    login = {"username": "ada@aster.org", "password": PASSWORD}
    assert visitor.post("/auth/token", json=login).status_code == 401
    page = site.airflow.get("/wardround/people").text
    (number,) = re.findall(r"/wardround/people/(\d+)/authorise", page)
    assert site.airflow.post(f"/wardround/people/{number}/authorise", data={"csrf_token": _token(page)}).status_code == 303
    token = visitor.post("/auth/token", json=login).raise_for_status().json()["access_token"]
    person = httpx.Client(base_url=home, headers={"Authorization": f"Bearer {token}"})
    assert "ada@aster.org" in person.get("/wardround/profile").text
    assert person.get("/api/v2/dags").status_code == 200
    assert site.airflow.post(f"/wardround/people/{number}/suspend", data={"csrf_token": _token(page)}).status_code == 303
    assert person.get("/wardround/profile").status_code == 303
    assert person.get("/api/v2/dags").status_code == 403
    assert site.airflow.post(f"/wardround/people/{number}/readmit", data={"csrf_token": _token(page)}).status_code == 303
    assert person.get("/wardround/profile").status_code == 303, "the token of before stays dead"
    assert person.get("/api/v2/dags").status_code == 403
    assert visitor.post("/auth/token", json=login).status_code == 201


def test_a_password_that_its_person_changed_outlives_the_set_up_of_another_hospital(site: Site) -> None:
    person = site.airflow_as("hospital-elm")
    old = Secret.read(airflow.password_file(site.settings, "hospital-elm")).text()
    page = person.get("/wardround/profile").text
    form = {"old": old, "password": PASSWORD, "password_again": PASSWORD, "csrf_token": _token(page)}
    assert person.post("/wardround/profile/password", data=form).status_code == 303
    airflow.prepare(site.settings, airflow.users([*HOSPITALS, "yarrow"]))
    answers = {
        login: site.airflow.post("/auth/token", json={"username": login, "password": password}).status_code
        for login, password in (
            ("hospital-elm", PASSWORD),
            ("hospital-yarrow", Secret.read(airflow.password_file(site.settings, "hospital-yarrow")).text()),
        )
    }
    assert answers == {"hospital-elm": 201, "hospital-yarrow": 201}
    assert site.airflow.post("/auth/token", json={"username": "hospital-elm", "password": old}).status_code == 401


def _token(page: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found, page
    return found[1]
