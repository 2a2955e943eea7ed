"""Start rounds of a study, and see them run."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Form, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from pipeline.airflow.accounts import Role
from pipeline.domain import RoundStatus
from pipeline.errors import Misconfigured
from pipeline.round import readiness
from pipeline.round_steps import MOST_AT_ONCE, dag_id
from pipeline.site.airflow_api import Airflow, at_work
from plugins.console import airflow_session, studies
from plugins.console.access import Provider
from plugins.console.csrf import OwnForm
from plugins.console.dependencies import Rounds, concerns
from plugins.console.page import Link, render
from plugins.console.round_cache import CachedRounds

router = APIRouter()
LINK = Link(110, "Start", "/start", (Role.PROVIDER,))

StudyName = Annotated[str, Form(max_length=64)]


@router.get("/start")
def ask(request: Request, who: Provider, index: Rounds) -> HTMLResponse:
    """Choose a study and how many rounds."""
    cached = index.all()
    running = {view.study for view in cached.rounds if view.status in (RoundStatus.OPEN, RoundStatus.COMMITTED)}
    last = {view.study: view for view in reversed(cached.rounds)}
    readable = studies.readable(index.settings)
    concluded = _concluded(cached)
    return render(
        request,
        "start",
        who,
        studies=readable,
        open_studies=[study for study in readable if study.name not in concluded],
        running=running,
        last=last,
        concluded=concluded,
        most=MOST_AT_ONCE,
    )


@router.post("/start", dependencies=[OwnForm])
def start(
    request: Request,
    who: Provider,
    index: Rounds,
    study: StudyName,
    rounds: Annotated[int, Form(ge=1, le=MOST_AT_ONCE)] = 1,
) -> Response:
    """Trigger the study's DAG as this person, with the number of rounds and nothing else.

    409 when its rounds cannot happen.
    """
    chosen = studies.readable_one(index.settings, study)
    if why := _concluded(index.all()).get(study):
        raise HTTPException(409, f"study {study} is concluded: {why}; propose a version that continues it")
    try:
        readiness.require(chosen, index.settings)
    except Misconfigured as error:
        raise HTTPException(409, str(error)) from None
    dag = dag_id(chosen.name)
    concerns(request, f"{study}, rounds: {rounds}")
    run = airflow_session.of(request, index.settings).trigger(dag, rounds)
    query = urlencode({"study": study, "run": run, "rounds": rounds})
    return RedirectResponse(f"{request.scope.get('root_path', '')}/start/runs?{query}", 303)


@router.get("/start/runs")
def runs(
    request: Request,
    who: Provider,
    index: Rounds,
    study: Annotated[str, Query(max_length=64)],
    run: Annotated[str, Query(pattern=r"^[A-Za-z0-9_.:+~-]{1,200}$")],
    rounds: Annotated[int, Query(ge=1, le=MOST_AT_ONCE)] = 1,
) -> HTMLResponse:
    """Where the rounds of one start stand."""
    chosen = studies.readable_one(index.settings, study)
    session = airflow_session.of(request, index.settings)
    dag = dag_id(chosen.name)
    states = session.series(dag, run)
    rows = [(state, "" if state.ended else _working(session, dag, state.run_id)) for state in states]
    return render(request, "runs", who, study=chosen, run=run, rounds=rounds, rows=rows, dag=dag)


def _concluded(cached: CachedRounds) -> dict[str, str]:
    """Each study that its nodes concluded, with the reason."""
    return {view.study: view.conclusion for view in cached.rounds if view.study and view.conclusion}


def _working(session: Airflow, dag: str, run: str) -> str:
    """The step that a run is at, by its own name."""
    return at_work(session.tasks(dag, run)) or ""
