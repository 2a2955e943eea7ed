from __future__ import annotations

import json
import time
from collections.abc import Mapping
from importlib.metadata import version

import jwt
import pytest
import yarl

from pipeline.errors import Refused
from pipeline.host.secret import Secret
from plugins.site_check import edge
from plugins.site_check.edge import Granted, Job, WorkerCall

WREN = "hospital-wren"
ELM = "hospital-elm"
OWN = "0198c0de-0000-7000-8000-000000000001"
FOREIGN = "0198c0de-0000-7000-8000-000000000002"
RUN = "manual__2026-11-29T17:05:04.123456+00:00~2"
KEY = f"round_small/train_wren/{RUN}/1/-1"
FOREIGN_KEY = f"round_small/train_elm/{RUN}/1/-1"
STATE = {"state": "running", "jobs_active": 0, "queues": [WREN], "sysinfo": {"airflow_version": "3.3.2", "status": 20}}
FETCH = {"queues": [WREN], "free_concurrency": 1, "team_name": None, "supports_task_instance_uuid": True}
LOG = {"log_chunk_time": "2026-11-29T17:05:04Z", "log_chunk_data": "Grüße\x00\n", "task_instance_id": OWN}


def secret() -> Secret:
    return Secret(Secret.generate(64).token().encode())


class Memory:
    """Two sites, and a job of each in one round."""

    def __init__(self) -> None:
        self.tokens = {WREN: secret(), ELM: secret()}
        self.jobs = {
            Job("round_small", "train_wren", RUN, 1, -1): {OWN: WREN},
            Job("round_small", "train_elm", RUN, 1, -1): {FOREIGN: ELM},
            Job("round_small", "mixed", RUN, 1, -1): {OWN: WREN, FOREIGN: ELM},
        }

    def token(self, queue: str) -> Secret | None:
        return self.tokens.get(queue)

    def queues(self, job: Job) -> Mapping[str, str]:
        return self.jobs.get(job, {})


@pytest.fixture
def records() -> Memory:
    return Memory()


def signed(key: Secret, rest: str, algorithm: str = "HS512", **claims: object) -> bytes:
    now = int(time.time())
    usual = {"aud": "api", "iat": now, "nbf": now, "exp": now + 30, "method": rest}
    kept = {name: value for name, value in {**usual, **claims}.items() if value is not None}
    return jwt.encode(kept, key.text(), algorithm=algorithm).encode()


def call(
    records: Memory, method: str, rest: str, said: object = None, *, query: str = "", site: str = WREN
) -> WorkerCall:
    """What the worker of a site sends, as aiohttp writes its path."""
    path = yarl.URL(f"https://host/sites/{site}/edge_worker/v1/{rest}").raw_path.encode()
    body = b"" if said is None else json.dumps(said).encode()
    return WorkerCall(method, path, query.encode(), (signed(records.tokens[site], rest),), body)


HONEST = {
    "registers": ("POST", f"worker/{WREN}", STATE, ""),
    "is alive": ("PATCH", f"worker/{WREN}", STATE, ""),
    "asks for work": ("POST", f"jobs/fetch/{WREN}", FETCH, ""),
    "has begun": ("PATCH", f"jobs/state/{KEY}/running", {"task_instance_id": OWN}, ""),
    "has done it": ("PATCH", f"jobs/state/{KEY}/success", {"task_instance_id": OWN}, ""),
    "has failed": ("PATCH", f"jobs/state/{KEY}/failed", None, ""),
    "asks where to log": ("GET", f"logs/logfile_path/{KEY}", None, f"task_instance_id={OWN}"),
    "asks where to log, as before UUIDs": ("GET", f"logs/logfile_path/{KEY}", None, ""),
    "logs": ("POST", f"logs/push/{KEY}", LOG, ""),
    "asks whether it is let in": ("GET", "health", None, ""),
}


@pytest.mark.parametrize(("method", "rest", "said", "query"), HONEST.values(), ids=HONEST)
def test_a_site_does_its_own_work(records: Memory, method: str, rest: str, said: object, query: str) -> None:
    granted = edge.granted(call(records, method, rest, said, query=query), records)
    assert (granted.rest, granted.query) == (rest, query.encode())
    assert (json.loads(granted.body) if granted.body else None) == said


OLDER = {**STATE, "sysinfo": {**STATE["sysinfo"], "wardround_version": "0.0.1"}}  # type: ignore[dict-item]
NEWER = {**STATE, "sysinfo": {"wardround_version": ["9"]}}


@pytest.mark.parametrize(("state", "got"), [(OLDER, "0.0.1"), (NEWER, "none")], ids=["older", "no version"])
def test_a_worker_of_another_version_is_refused_with_both_and_what_to_do(
    records: Memory, state: object, got: str
) -> None:
    ours = version("wardround")
    told = rf"hospital-wren: got a site of Wardround {got}, the provider's is {ours}: install one version at all sites"
    for method in ("POST", "PATCH"):
        with pytest.raises(Refused, match=told):
            edge.granted(call(records, method, f"worker/{WREN}", state), records)
    same = {**STATE, "sysinfo": {"wardround_version": ours}}
    edge.granted(call(records, "POST", f"worker/{WREN}", same), records)


def everywhere() -> list[tuple[str, str]]:
    """Every route of the Edge API, as it declares them, in another's name and with another's job."""
    from airflow.providers.edge3.worker_api.routes.jobs import jobs_router
    from airflow.providers.edge3.worker_api.routes.logs import logs_router
    from airflow.providers.edge3.worker_api.routes.worker import worker_router

    parts = {
        "worker_name": ELM,
        "dag_id": "round_small",
        "task_id": "train_elm",
        "run_id": RUN,
        "try_number": "1",
        "map_index": "-1",
        "state": "success",
    }
    routers = (jobs_router, logs_router, worker_router)
    routes = [(route.path.lstrip("/").format(**parts), route.methods) for router in routers for route in router.routes]
    return [(method, rest) for rest, methods in routes for method in methods]


BODIES = [None, {}, STATE, FETCH, {**STATE, "queues": [ELM]}, {**FETCH, "queues": [ELM]}, LOG, {"new_queues": [ELM]}]


@pytest.mark.parametrize(("method", "rest"), everywhere())
@pytest.mark.parametrize("query", ["", f"task_instance_id={OWN}", f"task_instance_id={FOREIGN}"])
def test_no_route_serves_another_sites_work(records: Memory, method: str, rest: str, query: str) -> None:
    for said in BODIES:
        with pytest.raises(Refused):
            edge.granted(call(records, method, rest, said, query=query), records)


def test_a_route_that_a_new_version_adds_is_looked_at() -> None:
    assert len(everywhere()) == 7


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "post", "PATCH "])
def test_no_other_method_registers_a_worker(records: Memory, method: str) -> None:
    with pytest.raises(Refused, match="no call that a site may make"):
        edge.granted(call(records, method, f"worker/{WREN}", STATE), records)


@pytest.mark.parametrize("state", ["queued", "removed", "restarting", "deferred", "up_for_retry", "skipped", "SUCCESS"])
def test_a_site_reports_no_state_that_only_airflow_gives(records: Memory, state: str) -> None:
    with pytest.raises(Refused, match="no call that a site may make"):
        edge.granted(call(records, "PATCH", f"jobs/state/{KEY}/{state}", {"task_instance_id": OWN}), records)


@pytest.mark.parametrize(
    "queues", [None, [], [ELM], [WREN, ELM], [WREN, WREN], WREN, {WREN: 1}, ["provider"], [None], 1]
)
@pytest.mark.parametrize(("method", "rest", "said"), [HONEST[name][:3] for name in ("registers", "asks for work")])
def test_a_site_asks_for_its_own_queue_alone(
    records: Memory, method: str, rest: str, said: dict[str, object], queues: object
) -> None:
    for body in ({**said, "queues": queues}, {name: value for name, value in said.items() if name != "queues"}):
        with pytest.raises(Refused, match="want exactly"):
            edge.granted(call(records, method, rest, body), records)


def test_a_site_joins_no_team(records: Memory) -> None:
    with pytest.raises(Refused, match="no team"):
        edge.granted(call(records, "POST", f"jobs/fetch/{WREN}", {**FETCH, "team_name": "red"}), records)


def test_of_two_fields_of_one_name_airflow_reads_the_one_that_was_checked(records: Memory) -> None:
    rest = f"jobs/fetch/{WREN}"
    twice = f'{{"queues": [], "free_concurrency": 1, "queues": ["{WREN}"]}}'.encode()
    honest = call(records, "POST", rest)
    granted = edge.granted(WorkerCall("POST", honest.path, b"", honest.authorizations, twice), records)
    assert granted.body == json.dumps({"queues": [WREN], "free_concurrency": 1}).encode()


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b'"x"', b"{", b"\xff", b'{"queues": NaN}', b"[" * 5000, b" " * 70_000 + b"{}"]
)
def test_a_body_that_is_no_object_is_refused(records: Memory, body: bytes) -> None:
    honest = call(records, "POST", f"jobs/fetch/{WREN}")
    with pytest.raises(Refused):
        edge.granted(WorkerCall("POST", honest.path, b"", honest.authorizations, body), records)


@pytest.mark.parametrize(
    "uuid", [FOREIGN, OWN.upper(), f"{{{OWN}}}", f"urn:uuid:{OWN}", OWN.replace("-", ""), "", 1, []]
)
def test_a_job_is_known_by_its_own_task_instance_alone(records: Memory, uuid: object) -> None:
    with pytest.raises(Refused):
        edge.granted(call(records, "POST", f"logs/push/{KEY}", {**LOG, "task_instance_id": uuid}), records)


def test_a_log_path_is_not_asked_for_by_anothers_task_instance(records: Memory) -> None:
    for query in (f"task_instance_id={FOREIGN}", f"task_instance_id={OWN}&task_instance_id={FOREIGN}", "a=b", "x"):
        with pytest.raises(Refused):
            edge.granted(call(records, "GET", f"logs/logfile_path/{KEY}", query=query), records)


def test_a_job_of_which_another_site_has_a_part_needs_its_task_instance(records: Memory) -> None:
    rest = f"jobs/state/round_small/mixed/{RUN}/1/-1/failed"
    assert edge.granted(call(records, "PATCH", rest, {"task_instance_id": OWN}), records).rest == rest
    for said in (None, {"task_instance_id": None}, {"task_instance_id": FOREIGN}):
        with pytest.raises(Refused, match="no job in the queue"):
            edge.granted(call(records, "PATCH", rest, said), records)


def test_a_job_that_is_unknown_is_refused_like_anothers(records: Memory) -> None:
    for rest in (f"jobs/state/{KEY.replace('/1/', '/2/')}/failed", f"jobs/state/{FOREIGN_KEY}/failed"):
        with pytest.raises(Refused, match="no job in the queue hospital-wren"):
            edge.granted(call(records, "PATCH", rest), records)


REST = f"worker/{WREN}"
OTHER = secret()
WRONG_TOKENS = {
    "none": (),
    "empty": (b"",),
    "bearer": (b"Bearer x.y.z",),
    "no signature": (jwt.encode({"method": REST}, None, algorithm="none").encode(),),
    "of another key": (signed(OTHER, REST),),
    "no ASCII": ("ü.ü.ü".encode(),),
}
WRONG_CLAIMS = {
    "expired": {"exp": int(time.time()) - 60},
    "of tomorrow": {"nbf": int(time.time()) + 86_400},
    "issued tomorrow": {"iat": int(time.time()) + 86_400},
    "for ever": {"exp": None},
    "without issue": {"iat": None},
    "without beginning": {"nbf": None},
    "for the execution API": {"aud": "urn:airflow.apache.org:task"},
    "for nobody": {"aud": None},
    "for another call": {"method": f"worker/{ELM}"},
    "for any call": {"method": None},
    "another algorithm": {"algorithm": "HS256"},
}


@pytest.mark.parametrize("authorizations", WRONG_TOKENS.values(), ids=WRONG_TOKENS)
def test_who_has_no_token_of_the_site_is_refused(records: Memory, authorizations: tuple[bytes, ...]) -> None:
    honest = call(records, "POST", REST, STATE)
    with pytest.raises(Refused):
        edge.granted(WorkerCall("POST", honest.path, b"", authorizations, honest.body), records)


@pytest.mark.parametrize("claims", WRONG_CLAIMS.values(), ids=WRONG_CLAIMS)
def test_a_token_that_says_something_else_is_refused(records: Memory, claims: dict[str, object]) -> None:
    honest = call(records, "POST", REST, STATE)
    made = signed(records.tokens[WREN], REST, **claims)  # type: ignore[arg-type]
    with pytest.raises(Refused):
        edge.granted(WorkerCall("POST", honest.path, b"", (made,), honest.body), records)


def test_a_clock_that_is_wrong_is_called_so(records: Memory) -> None:
    honest = call(records, "POST", REST, STATE)
    for claims in ({"exp": int(time.time()) - 960}, {"nbf": int(time.time()) + 960, "exp": int(time.time()) + 990}):
        made = signed(records.tokens[WREN], REST, **claims)  # type: ignore[arg-type]
        with pytest.raises(Refused, match="clock"):
            edge.granted(WorkerCall("POST", honest.path, b"", (made,), honest.body), records)


def test_two_tokens_are_refused_even_when_one_fits(records: Memory) -> None:
    honest = call(records, "POST", REST, STATE)
    for both in ((*honest.authorizations, b"x.y.z"), (b"x.y.z", *honest.authorizations), honest.authorizations * 2):
        with pytest.raises(Refused, match="one Authorization header"):
            edge.granted(WorkerCall("POST", honest.path, b"", both, honest.body), records)


def test_anothers_token_does_not_open_a_site_nor_ones_own_anothers(records: Memory) -> None:
    for site, key in ((WREN, ELM), (ELM, WREN)):
        honest = call(records, "POST", f"worker/{site}", {**STATE, "queues": [site]}, site=site)
        stolen = (signed(records.tokens[key], f"worker/{site}"),)
        with pytest.raises(Refused, match="no token of this site"):
            edge.granted(WorkerCall("POST", honest.path, b"", stolen, honest.body), records)


def test_a_revoked_site_is_refused_and_nobody_else(records: Memory) -> None:
    mine = call(records, "POST", REST, STATE)
    elms = call(records, "POST", f"worker/{ELM}", {**STATE, "queues": [ELM]}, site=ELM)
    del records.tokens[WREN]
    with pytest.raises(Refused, match="revoked"):
        edge.granted(mine, records)
    assert isinstance(edge.granted(elms, records), Granted)


@pytest.mark.parametrize("short", [b"", b"x" * 63])
def test_a_token_file_that_was_cut_off_opens_nothing(records: Memory, short: bytes) -> None:
    records.tokens[WREN] = Secret(short or b"x")
    with pytest.raises(Refused, match="no such site"):
        edge.granted(call(records, "POST", REST, STATE), records)


PATHS = {
    "escaped slash": f"/sites/{WREN}/edge_worker/v1/worker%2f{WREN}",
    "escaped dots": f"/sites/{WREN}/edge_worker/v1/%2e%2e/v1/worker/{WREN}",
    "escaped letter": f"/sites/{WREN}/edge_worker/v1/%77orker/{WREN}",
    "dots": f"/sites/{WREN}/edge_worker/v1/../v1/worker/{WREN}",
    "dots in a site": f"/sites/{ELM}/../{WREN}/edge_worker/v1/worker/{WREN}",
    "double slash": f"/sites/{WREN}/edge_worker/v1//worker/{WREN}",
    "leading slashes": f"//sites/{WREN}/edge_worker/v1/worker/{WREN}",
    "trailing slash": f"/sites/{WREN}/edge_worker/v1/worker/{WREN}/",
    "upper case": f"/Sites/{WREN}/edge_worker/v1/worker/{WREN}",
    "queue in upper case": f"/sites/{WREN.upper()}/edge_worker/v1/worker/{WREN}",
    "parameters": f"/sites/{WREN};x=1/edge_worker/v1/worker/{WREN}",
    "null": f"/sites/{WREN}/edge_worker/v1/worker/{WREN}%00",
    "line": f"/sites/{WREN}/edge_worker/v1/worker/{WREN}\n",
    "the UI": f"/sites/{WREN}/edge_worker/ui/worker",
    "Airflow's own": f"/edge_worker/v1/worker/{WREN}",
    "secrets": "/sites/../sites/edge_worker/v1/worker/x",
    "no queue": "/sites//edge_worker/v1/worker/x",
    "default queue": "/sites/default/edge_worker/v1/worker/default",
    "absolute": f"http://host/sites/{WREN}/edge_worker/v1/worker/{WREN}",
    "nothing": "",
}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_a_path_in_another_spelling_is_refused(records: Memory, path: str) -> None:
    for rest in (REST, path.partition("/v1/")[2] or REST):
        token = signed(records.tokens[WREN], rest)
        with pytest.raises(Refused):
            edge.granted(WorkerCall("POST", path.encode(), b"", (token,), json.dumps(STATE).encode()), records)


@pytest.mark.parametrize("number", ["01", "+1", "1.0", "-2", "--1", "1_0", "9999999999", "x", "٣"])
def test_a_number_in_another_spelling_is_refused(records: Memory, number: str) -> None:
    for key in (f"round_small/train_wren/{RUN}/{number}/-1", f"round_small/train_wren/{RUN}/1/{number}"):
        with pytest.raises(Refused):
            edge.granted(call(records, "PATCH", f"jobs/state/{key}/failed", {"task_instance_id": OWN}), records)


def test_a_site_of_whatever_name_does_its_work() -> None:
    for queue in ("provider", "node-north", "hospital-long-beach", "hospital-a_1"):
        records = Memory()
        records.tokens[queue] = secret()
        said = {**STATE, "queues": [queue]}
        assert edge.granted(call(records, "POST", f"worker/{queue}", said, site=queue), records)
