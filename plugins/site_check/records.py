"""What the check asks of this machine, anew for each call: tokens of sites, jobs and tasks in Airflow's database."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any
from uuid import UUID

from pipeline.host.secret import Secret
from pipeline.site.settings import Settings
from plugins.site_check.edge import Job
from plugins.site_check.execution import Task


def token(queue: str) -> Secret | None:
    """The secret of the site of this queue; its file is removed when the site is revoked."""
    path = Settings.load().token_of(queue)
    return Secret.read(path) if path.exists() else None


def queues(job: Job) -> Mapping[str, str]:
    """The queues in which a job stands, by its task instance's id."""
    from airflow.providers.edge3.models.edge_job import EdgeJobModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    asked = select(EdgeJobModel.task_instance_id, EdgeJobModel.queue).where(
        EdgeJobModel.dag_id == job.dag,
        EdgeJobModel.task_id == job.task,
        EdgeJobModel.run_id == job.run,
        EdgeJobModel.try_number == job.attempt,
        EdgeJobModel.map_index == job.place,
    )
    with create_session() as session:
        return {str(uuid): str(queue) for uuid, queue in session.execute(asked)}


def task(task_instance: str) -> Task | None:
    """The task that has this id."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    try:
        uuid = UUID(task_instance)
    except ValueError:
        return None
    asked = select(TaskInstance.queue, TaskInstance.dag_id, TaskInstance.run_id, TaskInstance.task_id)
    with create_session() as session:
        found = session.execute(asked.where(TaskInstance.id == uuid)).first()
    return Task(str(uuid), *found) if found else None


def airflow_token(rest: str) -> str:
    """Airflow's own token for one call of its Edge API."""
    return str(_generator().generate({"method": rest}))


@cache
def _generator() -> Any:
    from airflow.api_fastapi.auth.tokens import JWTGenerator
    from airflow.configuration import conf

    return JWTGenerator(secret_key=conf.get("api_auth", "jwt_secret"), valid_for=30, audience="api")
