"""Whether a site may make a call of Airflow's Edge API (provider edge3 5.1), and the call that Airflow gets.

An allow-list: what is not of the very form in which Airflow's worker asks is refused. Nothing of a call is handed on as
it came but its values: path and body are written anew from what was understood of them, so that nobody reads them in
another way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import jwt

from pipeline.domain import NAME_PATTERN
from pipeline.errors import EvidenceRejected, Refused
from pipeline.evidence.canonical import read_object
from pipeline.host.secret import Secret
from pipeline.site import worker_report

PREFIX = "/sites/"
"""Below it each site has a folder of its own, named after its queue."""

LARGEST_LOG = 4 << 20
"""Bytes of a piece of a log: half a million characters, each as JSON writes it at its longest."""

_LARGEST = 64 << 10
_LEEWAY_SECONDS = 30
_LONGEST_VERSION = 40
_LEAST_SECRET = 64
"""Bytes, as the algorithm of Airflow's tokens wants; a shorter file was cut off."""

_QUEUE = rf"provider|(?:hospital|node)-{NAME_PATTERN}"
_PATH = re.compile(rf"/sites/(?P<queue>{_QUEUE})/edge_worker/v1/(?P<rest>[A-Za-z0-9/_.~:+-]+)")
_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ID = r"(?!\.{1,2}/)[A-Za-z0-9_.~:+-]+"
"""As Airflow's `allowed_run_id_pattern` and names of DAGs and tasks have it; no step up in a path."""
_NUMBER = r"0|[1-9][0-9]{0,8}"
_JOB = rf"(?P<dag>{_ID})/(?P<task>{_ID})/(?P<run>{_ID})/(?P<attempt>{_NUMBER})/(?P<place>-1|{_NUMBER})"


@dataclass(frozen=True)
class WorkerCall:
    """One request as it came: raw path without its query, every Authorization header."""

    method: str
    path: bytes
    query: bytes = b""
    authorizations: tuple[bytes, ...] = ()
    body: bytes = b""


@dataclass(frozen=True)
class Granted:
    """What Airflow gets in its place: path below `/edge_worker/v1/`, query, body."""

    rest: str
    query: bytes = b""
    body: bytes = b""


@dataclass(frozen=True)
class Job:
    """A try of a task, as Airflow's path has it."""

    dag: str
    task: str
    run: str
    attempt: int
    place: int
    """In a mapped task, else -1."""


class SiteRecords(Protocol):
    """What the check asks where it runs; everything is asked anew for each call."""

    def token(self, queue: str) -> Secret | None:
        """The secret of the site of this queue, None where there is none."""

    def queues(self, job: Job) -> Mapping[str, str]:
        """The queues in which a job stands, by its task instance's id; empty when it is unknown."""


def granted(call: WorkerCall, records: SiteRecords) -> Granted:
    """The call that Airflow gets; raises Refused."""
    path = _PATH.fullmatch(_ascii(call.path))
    if path is None:
        raise Refused("this path is none of a site's; want /sites/QUEUE/edge_worker/v1/..., as Airflow's worker asks")
    queue = path["queue"]
    rest = path["rest"]
    _authenticate(call, queue, rest, records)
    for method, form, check in _FORMS:
        found = re.fullmatch(form, rest)
        if found and method == call.method:
            return check(call, _Asked(queue, rest, found.groupdict()), records)
    raise Refused(f"{call.method} {rest}: got no call that a site may make")


@dataclass(frozen=True)
class _Asked:
    queue: str
    rest: str
    parts: Mapping[str, str]

    def worker(self) -> None:
        """Refuse another worker's name than the queue's."""
        if self.parts["worker"] != self.queue:
            raise Refused(f"{self.queue} asks in the name of worker {self.parts['worker']}: want its own, {self.queue}")

    def job(self, uuid: object, records: SiteRecords) -> None:
        """Refuse a job of another queue; without the id of its task instance, where any that it may mean is."""
        if uuid is not None and not (isinstance(uuid, str) and _UUID.fullmatch(uuid)):
            raise Refused("task_instance_id: want a UUID in its usual form, or none")
        parts = self.parts
        job = Job(parts["dag"], parts["task"], parts["run"], int(parts["attempt"]), int(parts["place"]))
        known = records.queues(job)
        meant = known if uuid is None else {uuid: known.get(uuid)}
        if not meant or set(meant.values()) != {self.queue}:
            raise Refused(f"{parts['task']} of {parts['run']}: no job in the queue {self.queue}")


def _authenticate(call: WorkerCall, queue: str, rest: str, records: SiteRecords) -> None:
    if len(call.authorizations) != 1 or not _TOKEN.fullmatch(token := _ascii(call.authorizations[0])):
        raise Refused("want one Authorization header, with a token as Airflow's worker signs it")
    secret = records.token(queue)
    if secret is None or len(secret.reveal()) < _LEAST_SECRET:
        raise Refused(f"{queue}: no such site, or its token was revoked; ask the provider for a new invitation")
    try:
        claims = jwt.decode(
            token,
            secret.text(),
            algorithms=["HS512"],
            audience="api",
            leeway=_LEEWAY_SECONDS,
            options={"require": ["exp", "iat", "nbf", "aud"]},
        )
    except (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError) as error:
        raise Refused(f"{queue}: {error}: set the clock that is wrong, the site's or the provider's, by NTP") from error
    except jwt.InvalidTokenError as error:
        raise Refused(f"{queue}: got no token of this site ({type(error).__name__})") from error
    if claims.get("method") != rest:
        raise Refused(f"{queue}: got a token for another call")
    # Airflow's own worker does not say it in its tokens.
    _refuse_another_version(queue, claims.get(worker_report.VERSION, worker_report.own_version()))


def _refuse_another_version(queue: str, theirs: object) -> None:
    ours = worker_report.own_version()
    if theirs != ours:
        got = theirs if isinstance(theirs, str) and theirs.isprintable() and len(theirs) <= _LONGEST_VERSION else "none"
        raise Refused(
            f"{queue}: got a site of Wardround {got}, the provider's is {ours}: install one version at all sites, give"
            " `wardround up` there, and join anew where cards and invitations were made by another one"
        )


def _as_a_worker(call: WorkerCall, asked: _Asked, records: SiteRecords) -> Granted:
    asked.worker()
    return Granted(asked.rest, _no_query(call), _of_one_queue(call, asked))


def _job_state(call: WorkerCall, asked: _Asked, records: SiteRecords) -> Granted:
    said = _said(call, _LARGEST, {"task_instance_id"}) if call.body else {}
    asked.job(said.get("task_instance_id"), records)
    return Granted(asked.rest, _no_query(call), json.dumps(said).encode() if said else b"")


def _log_path(call: WorkerCall, asked: _Asked, records: SiteRecords) -> Granted:
    if call.body:
        raise Refused(f"{asked.rest}: got a body, want none")
    name, equals, uuid = _ascii(call.query).partition("=")
    if call.query and (name, equals) != ("task_instance_id", "="):
        raise Refused(f"{asked.rest}: got a query that is none of a worker's")
    asked.job(uuid if call.query else None, records)
    return Granted(asked.rest, call.query)


def _health(call: WorkerCall, asked: _Asked, records: SiteRecords) -> Granted:
    if call.body:
        raise Refused(f"{asked.rest}: got a body, want none")
    return Granted(asked.rest, _no_query(call))


def _log_push(call: WorkerCall, asked: _Asked, records: SiteRecords) -> Granted:
    said = _said(call, LARGEST_LOG, {"log_chunk_time", "log_chunk_data", "task_instance_id"})
    asked.job(said.get("task_instance_id"), records)
    return Granted(asked.rest, _no_query(call), json.dumps(said).encode())


_FORMS: tuple[tuple[str, str, Callable[[WorkerCall, _Asked, SiteRecords], Granted]], ...] = (
    ("POST", rf"worker/(?P<worker>{_ID})", _as_a_worker),
    ("PATCH", rf"worker/(?P<worker>{_ID})", _as_a_worker),
    ("POST", rf"jobs/fetch/(?P<worker>{_ID})", _as_a_worker),
    # As the worker reports: it never queues, removes or defers what it has.
    ("PATCH", rf"jobs/state/{_JOB}/(?:running|success|failed)", _job_state),
    ("GET", rf"logs/logfile_path/{_JOB}", _log_path),
    # By which a site learns why it would be refused.
    ("GET", "health", _health),
    ("POST", rf"logs/push/{_JOB}", _log_push),
)


def _of_one_queue(call: WorkerCall, asked: _Asked) -> bytes:
    """The body, which names the site's queue and no other; none at all would mean every queue."""
    said = _said(call, _LARGEST)
    if said.get("queues") != [asked.queue] or said.get("team_name") is not None:
        raise Refused(f"{asked.queue} asks for queues {said.get('queues')!r}: want exactly [{asked.queue!r}], no team")
    sysinfo = said.get("sysinfo")
    if isinstance(sysinfo, dict) and worker_report.VERSION in sysinfo:
        _refuse_another_version(asked.queue, sysinfo[worker_report.VERSION])
    return json.dumps(said).encode()


def _said(call: WorkerCall, largest: int, fields: set[str] | None = None) -> dict[str, Any]:
    try:
        said = read_object(call.body, largest)
    except EvidenceRejected as error:
        raise Refused(f"body: {error}") from error
    if fields is not None and not said.keys() <= fields:
        raise Refused(f"body: got {', '.join(sorted(said))}, want {', '.join(sorted(fields))}")
    return said


def _no_query(call: WorkerCall) -> bytes:
    if call.query:
        raise Refused("got a query, want none")
    return b""


def _ascii(data: bytes) -> str:
    try:
        return data.decode("ascii")
    except UnicodeDecodeError as error:
        raise Refused("got bytes beyond ASCII, want a call as Airflow's worker makes it") from error
