"""What people of a hospital and auditors may not do in Airflow itself, and how one of them comes in."""

from __future__ import annotations

import hmac
import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterator

import httpx
import pytest

from pipeline.airflow import airflow
from pipeline.domain import HospitalName
from pipeline.governance import enrolment
from pipeline.host.secret import Secret
from pipeline.site.installation import Installation
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
        (
            "POST",
            "/auth/fab/v1/users",
            {"username": "u", "password": PASSWORD, "email": "u@u.org", "first_name": "u", "last_name": "u"},
        ),
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


def changing(site: Site) -> Iterator[tuple[str, str]]:
    """Method and path of every operation of Airflow's own interface that changes something."""
    there = {"dag_id": "round_small", "pool_name": "default_pool", "task_id": "number"}
    for path, methods in site.airflow.get("/openapi.json").raise_for_status().json()["paths"].items():
        for method in set(methods) & {"post", "put", "patch", "delete"}:
            yield method.upper(), re.sub(r"{(\w+)}", lambda found: there.get(found[1], "1"), path)


@attack(
    by="stranger",
    to="stop",
    tries="every operation of Airflow that changes something, without a login",
    costs="nothing",
    seen="nothing: 401",
)
def test_nobody_without_a_login_changes_anything_in_airflow(site: Site) -> None:
    nobody = httpx.Client(base_url=site.airflow.base_url, timeout=30)
    tried = list(changing(site))
    assert len(tried) >= 50
    answers = {each: nobody.request(*each, json={}).status_code for each in tried}
    assert {each: code for each, code in answers.items() if code != 401} == {}


@attack(
    by="hospital",
    to="stop",
    tries="every operation of Airflow that changes something, as a hospital's person or an auditor",
    costs="nothing",
    seen="nothing: 403",
)
def test_of_all_that_changes_airflow_hospitals_and_auditors_may_name_their_favourites(site: Site) -> None:
    for user in ("auditor", "hospital-aster"):
        person = site.airflow_as(user)
        answers = {each: person.request(*each, json={}).status_code for each in changing(site)}
        assert [each for each, code in answers.items() if code < 400 and not each[1].endswith("favorite")] == []
        assert [each for each, code in answers.items() if code >= 500] == []


@attack(
    by="stranger",
    to="change",
    tries="to report to Airflow as a task, by forged tokens or a person's",
    costs="nothing",
    seen="nothing: 401 or 403",
)
def test_no_forged_token_speaks_for_a_task(site: Site) -> None:
    claims = {
        "sub": "00000000-0000-0000-0000-000000000001",
        "aud": "urn:airflow.apache.org:task",
        "iat": 1,
        "nbf": 1,
        "exp": 1 << 33,
    }
    persons = site.airflow_as("hospital-aster").headers["authorization"]
    forged = [f"Bearer {forge(algorithm, claims)}" for algorithm in ("none", "HS256", "HS512")]
    path = f"/execution/task-instances/{claims['sub']}"
    now = "2026-01-01T00:00:00Z"
    for token in (None, "Bearer x", *forged, persons, site.airflow.headers["authorization"]):
        client = httpx.Client(
            base_url=site.airflow.base_url, timeout=30, headers={"Authorization": token} if token else {}
        )
        for method, what, body in (
            (
                "PATCH",
                f"{path}/run",
                {"state": "running", "hostname": "x", "unixname": "x", "pid": 1, "start_date": now},
            ),
            ("PATCH", f"{path}/state", {"state": "success", "end_date": now}),
            ("POST", "/execution/xcoms/round_small/run/number/return_value", 1),
            ("GET", "/execution/connections/c", None),
            ("GET", "/execution/variables/v", None),
        ):
            answer = client.request(method, what, json=body)
            assert answer.status_code in (401, 403), f"{token}: {method} {what}: {answer.status_code} {answer.text}"


def forge(algorithm: str, claims: dict[str, object]) -> str:
    """A token that somebody signs with a key that he guesses, or with none."""
    head, body = (
        urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": algorithm, "typ": "JWT"}, claims)
    )
    hashed = {"HS256": "sha256", "HS512": "sha512"}.get(algorithm)
    signature = urlsafe_b64encode(hmac.digest(b"airflow", head + b"." + body, hashed)).rstrip(b"=") if hashed else b""
    return b".".join((head, body, signature)).decode()


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
    assert (
        site.airflow.post(f"/wardround/people/{number}/authorise", data={"csrf_token": _token(page)}).status_code == 303
    )
    token = visitor.post("/auth/token", json=login).raise_for_status().json()["access_token"]
    person = httpx.Client(base_url=home, headers={"Authorization": f"Bearer {token}"})
    assert "ada@aster.org" in person.get("/wardround/profile").text
    assert person.get("/api/v2/dags").status_code == 200
    assert (
        site.airflow.post(f"/wardround/people/{number}/suspend", data={"csrf_token": _token(page)}).status_code == 303
    )
    assert person.get("/wardround/profile").status_code == 303
    assert person.get("/api/v2/dags").status_code == 403
    assert (
        site.airflow.post(f"/wardround/people/{number}/readmit", data={"csrf_token": _token(page)}).status_code == 303
    )
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
