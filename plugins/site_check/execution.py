"""What a task may ask of Airflow's execution API by the token that it was given for itself.

Airflow lets every task read and write what all others pass on, start and clear every run. A site holds the tokens of
its own tasks, so a task of a hospital or a node is held to itself and to reading what its own run passes on. The
service provider's tasks, which start the next rounds, are Airflow's own matter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

import jwt

from pipeline.errors import Refused

PREFIX = "/execution"

_BEARER = re.compile(r"[Bb]earer ([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)")
_READING = ("GET", "HEAD")
_OPEN = ("/execution/health", "/execution/health/ping")
_SERVICE_PROVIDER = "provider"


@dataclass(frozen=True)
class Task:
    """The task that a token was given to."""

    id: str
    queue: str
    dag: str
    run: str
    task: str


class Tasks(Protocol):
    """What the check asks where it runs."""

    def task(self, task_instance: str) -> Task | None:
        """The task of this id, None when there is none."""


def check(method: str, path: str, authorizations: tuple[bytes, ...], tasks: Tasks) -> None:
    """Refuse what the token's task may not ask; `path` is decoded, as Airflow routes it.

    Raises Refused. Whether the token is genuine, Airflow itself finds out: it reads the same one.
    """
    if path in _OPEN:
        return
    found = _BEARER.fullmatch(authorizations[0].decode("latin-1")) if len(authorizations) == 1 else None
    if found is None:
        raise Refused("want one Authorization header, with the token that Airflow gave to a task")
    task = tasks.task(_subject(found[1]))
    if task is None:
        raise Refused("got no token of a task that Airflow knows")
    if task.queue != _SERVICE_PROVIDER and not _is_its_own(method, path, task):
        raise Refused(f"{task.task} of {task.queue}: {method} {path} is not for this task")


def _is_its_own(method: str, path: str, task: Task) -> bool:
    itself = f"/execution/task-instances/{task.id}/"
    run = f"/execution/xcoms/{task.dag}/{task.run}/"
    return path.startswith((itself, f"{run}{task.task}/")) or (method in _READING and path.startswith(run))


def _subject(token: str) -> str:
    try:
        return str(jwt.decode(token, options={"verify_signature": False}).get("sub"))
    except jwt.InvalidTokenError as error:
        raise Refused("got no token of a task") from error
