"""Two hospitals on machines of their own, one of them rogue, and the provider between them: all of Airflow for real."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from pipeline.airflow import heard
from pipeline.host.secret import Secret
from tests.adversary import attack
from tests.support.hub import Hub, site_token, until

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(900)]

WREN = "hospital-wren"
ELM = "hospital-elm"
ITS_LOG = "its calls, with its name, in the log of the provider's Airflow"


JOBS = "select task_id, state, edge_worker from edge_job"


@dataclass
class Rogue:
    """Hospital elm: a site with a token of its own, that asks what it likes."""

    hub: Hub
    token: Secret
    run: str
    jobs: dict[str, str]
    """Hospital to the id of its task instance in this run."""
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = self.hub.client()

    def asks(
        self, method: str, rest: str, said: object = None, *, site: str = ELM, token: Secret | None = None
    ) -> httpx.Response:
        """A call of the Edge API, signed as Airflow's worker does."""
        now = int(time.time())
        claims = {"aud": "api", "iat": now, "nbf": now, "exp": now + 30, "method": rest.partition("?")[0]}
        signed = jwt.encode(claims, (token or self.token).text(), algorithm="HS512")
        path = f"/sites/{site}/edge_worker/v1/{rest}" if site else f"/edge_worker/v1/{rest}"
        body = {} if said is None else {"json": said}
        return self.client.request(method, path, headers={"Authorization": signed}, **body)

    def job(self, hospital: str) -> str:
        """A hospital's job as a path has it."""
        return f"errands/errand_{hospital}/{self.run}/1/-1"

    def state_of(self, hospital: str) -> tuple[str, str | None]:
        """Of a hospital's job: its state, and the worker that took it."""
        jobs = {task: (found, worker) for task, found, worker in self.hub.asked(JOBS)}
        return jobs[f"errand_{hospital}"]


def sysinfo() -> dict[str, object]:
    return {
        "airflow_version": version("apache-airflow"),
        "edge_provider_version": version("apache-airflow-providers-edge3"),
        "concurrency": 1,
        "free_concurrency": 1,
        "status": 20,
    }


def state(queues: object, of: str = "running") -> dict[str, object]:
    return {"state": of, "jobs_active": 0, "queues": queues, "sysinfo": sysinfo()}


def work(queues: object) -> dict[str, object]:
    return {"queues": queues, "free_concurrency": 8, "supports_task_instance_uuid": True}


def log(uuid: str) -> dict[str, object]:
    return {"log_chunk_time": "2026-11-29T17:00:00Z", "log_chunk_data": "forged\n", "task_instance_id": uuid}


def refused(answer: httpx.Response) -> bool:
    return answer.status_code == 403


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with tempfile.TemporaryDirectory(prefix="wardround-") as folder:
        hub = Hub(Path(folder) / "provider")
        try:
            hub.start()
            yield hub
        finally:
            hub.stop()


@pytest.fixture(scope="module")
def wren(hub: Hub) -> Secret:
    """The honest hospital's token."""
    return hub.admit(WREN)


@pytest.fixture(scope="module")
def rogue(hub: Hub) -> Rogue:
    """In a run in which the jobs of both hospitals wait."""
    token = hub.admit(ELM)
    run = hub.airflow().trigger("errands", 1)
    until(lambda: len(hub.asked("select 1 from edge_job where state = 'queued'")) == 2, 120, "two jobs")
    jobs = {
        task.removeprefix("errand_"): str(uuid) for task, uuid in hub.asked("select task_id, id from task_instance")
    }
    rogue = Rogue(hub, token, run, jobs)
    assert rogue.asks("POST", f"worker/{ELM}", state([ELM], "starting")).status_code == 200
    return rogue


def test_a_site_is_let_in_by_its_own_token_alone(rogue: Rogue) -> None:
    assert rogue.asks("PATCH", f"worker/{ELM}", state([ELM])).json()["queues"] == [ELM]
    assert refused(rogue.asks("PATCH", f"worker/{ELM}", state([ELM]), token=site_token()))


@attack(by="hospital", to="stop", tries="to take another hospital's work from Airflow", costs="nothing", seen=ITS_LOG)
def test_another_sites_work_is_not_taken(rogue: Rogue, wren: Secret) -> None:
    for queues in ([WREN], [ELM, WREN], [], None):
        assert refused(rogue.asks("POST", f"jobs/fetch/{ELM}", work(queues))), queues
        assert refused(rogue.asks("POST", f"worker/{ELM}", state(queues))), queues
    assert refused(rogue.asks("POST", f"jobs/fetch/{ELM}", {"free_concurrency": 8}))
    assert refused(rogue.asks("POST", f"jobs/fetch/{WREN}", work([WREN])))
    assert refused(rogue.asks("POST", f"jobs/fetch/{WREN}", work([WREN]), site=WREN))
    assert refused(rogue.asks("PATCH", f"worker/queues/{ELM}", {"new_queues": [WREN], "remove_queues": []}))
    assert rogue.state_of("wren") == ("queued", None)


@attack(
    by="hospital",
    to="stop",
    tries="to report another hospital's work as failed, or as done",
    costs="nothing",
    seen=ITS_LOG,
)
def test_another_sites_work_is_not_ended(rogue: Rogue, wren: Secret) -> None:
    for ends in ("failed", "success", "running", "removed"):
        for said in (None, {"task_instance_id": rogue.jobs["wren"]}, {"task_instance_id": rogue.jobs["elm"]}):
            assert refused(rogue.asks("PATCH", f"jobs/state/{rogue.job('wren')}/{ends}", said)), (ends, said)
    # Its own job, and the other's by its id.
    said = {"task_instance_id": rogue.jobs["wren"]}
    assert refused(rogue.asks("PATCH", f"jobs/state/{rogue.job('elm')}/failed", said))
    assert rogue.state_of("wren") == ("queued", None)


@attack(
    by="hospital",
    to="change",
    tries="to write into another hospital's log, or to learn where it lies",
    costs="nothing",
    seen=ITS_LOG,
)
def test_another_sites_log_is_not_written(rogue: Rogue, wren: Secret) -> None:
    for hospital, uuid in (("wren", "wren"), ("wren", "elm"), ("elm", "wren")):
        assert refused(rogue.asks("POST", f"logs/push/{rogue.job(hospital)}", log(rogue.jobs[uuid])))
        assert refused(
            rogue.asks("GET", f"logs/logfile_path/{rogue.job(hospital)}?task_instance_id={rogue.jobs[uuid]}")
        )
    assert refused(rogue.asks("GET", f"logs/logfile_path/{rogue.job('wren')}"))
    assert rogue.hub.asked("select 1 from edge_logs") == []


@attack(
    by="hospital",
    to="stop",
    tries="to register as another hospital's worker, or to say that it goes offline",
    costs="nothing",
    seen=ITS_LOG,
)
def test_nobody_registers_under_another_name(rogue: Rogue, wren: Secret) -> None:
    for site in (ELM, WREN):
        for method, of in (("POST", "starting"), ("PATCH", "offline")):
            for queues in ([WREN], [ELM]):
                assert refused(rogue.asks(method, f"worker/{WREN}", state(queues, of), site=site))
    assert rogue.hub.asked("select worker_name from edge_worker") == [(ELM,)]


@attack(
    by="hospital",
    to="stop",
    tries="to pass by the check: Airflow's own path, other spellings, two tokens, its pages",
    costs="nothing",
    seen=ITS_LOG,
)
def test_there_is_no_way_around_the_check(rogue: Rogue, wren: Secret) -> None:
    rest = f"jobs/fetch/{WREN}"
    assert refused(rogue.asks("POST", rest, work([WREN]), site=""))
    assert refused(rogue.asks("GET", "health", site=""))
    now = int(time.time())
    signed = jwt.encode(
        {"aud": "api", "iat": now, "nbf": now, "exp": now + 30, "method": rest}, rogue.token.text(), algorithm="HS512"
    )
    for path in (
        f"/%65dge_worker/v1/{rest}",
        f"//edge_worker/v1/{rest}",
        f"/EDGE_WORKER/v1/{rest}",
        f"/sites/{ELM}/../../edge_worker/v1/{rest}",
        f"/sites/{ELM}%2f..%2f{WREN}/edge_worker/v1/{rest}",
        f"/sites/{ELM}/edge_worker/v1//{rest}",
        f"/sites/{ELM}/edge_worker/v1/jobs%2ffetch%2f{WREN}",
        f"/sites/{ELM}/edge_worker/v1/{rest}/",
        f"/execution/../edge_worker/v1/{rest}",
        "/edge_worker/ui/worker",
        "/edge_worker/docs",
        "/edge_worker/openapi.json",
        f"/sites/{ELM}/edge_worker/openapi.json",
    ):
        answer = _raw(rogue.hub, "POST", path, [("Authorization", signed)])
        assert answer in (400, 403), (path, answer)
    assert _raw(rogue.hub, "POST", f"/sites/{ELM}/edge_worker/v1/{rest}", [("Authorization", signed)] * 2) == 403
    assert rogue.state_of("wren") == ("queued", None)


@attack(
    by="hospital",
    to="stop",
    tries="to use its own task's token for others' tasks: to end them, to change what they read, to start, clear runs",
    costs="its own task's time",
    seen=ITS_LOG,
)
def test_a_tasks_own_token_serves_nothing_but_that_task(rogue: Rogue, wren: Secret) -> None:
    taken = rogue.asks("POST", f"jobs/fetch/{ELM}", work([ELM])).json()
    assert taken["task_id"] == "errand_elm"
    own = f"task-instances/{rogue.jobs['elm']}"
    begun = {"state": "running", "hostname": "elm", "unixname": "elm", "pid": 1, "start_date": "2026-11-29T17:00:00Z"}
    started = _as_task(rogue, taken["command"]["token"], "PATCH", f"{own}/run", begun)
    assert started.status_code == 200, started.text
    token = started.headers.get("Refreshed-API-Token", taken["command"]["token"])
    assert _as_task(rogue, token, "PUT", f"{own}/heartbeat", {"hostname": "elm", "pid": 1}).status_code == 204
    others = f"task-instances/{rogue.jobs['wren']}"
    ended = {"state": "failed", "end_date": "2026-11-29T17:00:00Z"}
    # Signed by the only secret that it has.
    now = int(time.time())
    claims = {"sub": rogue.jobs["wren"], "aud": "urn:airflow.apache.org:task", "iat": now, "nbf": now, "exp": now + 99}
    forged = jwt.encode({**claims, "scope": "execution"}, rogue.token.text(), algorithm="HS512")
    for method, path, said in (
        ("PATCH", f"{others}/state", ended),
        ("PATCH", f"{others}/run", begun),
        ("POST", f"xcoms/errands/{rogue.run}/errand_wren/return_value", "8"),
        ("GET", "variables/x", None),
        ("POST", "dag-runs/errands/forged", {}),
        ("POST", f"dag-runs/errands/{rogue.run}/clear", None),
    ):
        for each in (token, forged, "", taken["command"]["token"]):
            assert _as_task(rogue, each, method, path, said).status_code in (401, 403), (method, path, each == forged)
    assert rogue.hub.asked("select run_id from dag_run") == [(rogue.run,)]
    assert rogue.state_of("wren") == ("queued", None)


def test_an_honest_site_does_its_work_meanwhile(rogue: Rogue, wren: Secret) -> None:
    with tempfile.TemporaryDirectory(prefix="wardround-wren-") as folder, rogue.hub.worker(Path(folder), WREN, wren):
        states = "select state from task_instance where task_id = 'errand_wren'"
        until(lambda: rogue.hub.asked(states) == [("success",)], 200, "the errand of wren")
        until(lambda: rogue.state_of("wren")[0] == "success", 60, "the report of wren")
        said = _log_of(rogue, "errand_wren")
        assert "the errand is run" in said
        assert "forged" not in said
        # Revoked, elm is nobody; wren goes on.
        rogue.hub.revoke(ELM)
        assert refused(rogue.asks("PATCH", f"worker/{ELM}", state([ELM])))
        before = _last_seen(rogue)
        until(lambda: _last_seen(rogue) > before, 60, "a heartbeat of wren")
        elm, ours, seen = heard.of_queues([ELM, "provider", WREN], rogue.hub.settings)
        assert (seen.state, seen.version, seen.silent(time.time())) == ("idle", version("wardround"), False)
        assert seen.clock is not None
        assert abs(seen.clock) < 10
        assert (elm.version, elm.clock) == (None, None), "its worker said nothing of the kind"
        assert ours.last(time.time()) == "never"


@attack(
    by="hospital",
    to="stop",
    tries="to go on by a token that was revoked",
    costs="nothing",
    seen="refused calls, by name",
)
def test_a_revoked_token_opens_nothing(rogue: Rogue) -> None:
    assert not rogue.hub.settings.token_of(ELM).exists()
    for method, rest, said in (
        ("POST", f"worker/{ELM}", state([ELM])),
        ("POST", f"jobs/fetch/{ELM}", work([ELM])),
        ("PATCH", f"jobs/state/{rogue.job('elm')}/failed", {"task_instance_id": rogue.jobs["elm"]}),
    ):
        assert refused(rogue.asks(method, rest, said))


def _last_seen(rogue: Rogue) -> Any:
    return dict(rogue.hub.asked("select worker_name, last_update from edge_worker"))[WREN]


def _as_task(rogue: Rogue, token: str, method: str, path: str, said: object) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    body = {} if said is None else {"json": said}
    return rogue.client.request(method, f"/execution/{path}", headers=headers, **body)


def _log_of(rogue: Rogue, task: str) -> str:
    airflow = rogue.hub.airflow()
    path = f"/api/v2/dags/errands/dagRuns/{rogue.run}/taskInstances/{task}/logs/1"
    return str(airflow._ask("GET", path))


def _raw(hub: Hub, method: str, target: str, headers: list[tuple[str, str]]) -> int:
    """The status of a request whose target is sent as it stands."""
    import http.client
    import ssl

    port = int(hub.public.rpartition(":")[2])
    context = ssl.create_default_context(cafile=hub.authority)
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=60)
    connection.putrequest(method, target, skip_accept_encoding=True)
    for name, value in headers:
        connection.putheader(name, value)
    connection.putheader("Content-Length", "0")
    connection.endheaders()
    try:
        return connection.getresponse().status
    finally:
        connection.close()
