"""Propose an experiment: a study with some fields changed, under a new name, for its members to approve.

It starts from a first model of its own, from the newest one of the study, or from an earlier one.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from pipeline.airflow.accounts import Role
from pipeline.chain.ledger import study_id
from pipeline.domain import RoundId
from pipeline.errors import InvalidStudy, Misconfigured, Refused
from pipeline.governance import proposal, versions
from pipeline.governance.proposal import Proposal
from pipeline.governance.versions import NextVersion, Wanted
from pipeline.site.consortium import Consortium
from pipeline.study import study_diff
from plugins.console import studies
from plugins.console.access import Provider
from plugins.console.csrf import OwnForm
from plugins.console.dependencies import Rounds, concerns
from plugins.console.page import Link, render
from plugins.console.studies import StudyName

router = APIRouter()
LINK = Link(120, "Experiments", "/experiments", (Role.PROVIDER,))


class FirstModel(StrEnum):
    """Which model an experiment's first round starts from."""

    SEED = "seed"
    NEWEST = "newest"
    BEFORE = "before"


class _Asked:
    """The form's fields; what is made of them is made anew each time, so that nobody can slip in another text."""

    def __init__(
        self,
        request: Request,
        base: Annotated[str, Form(max_length=64)],
        name: Annotated[str, Form(max_length=64)],
        fields: Annotated[str, Form(max_length=20_000)] = "",
        start: Annotated[FirstModel, Form()] = FirstModel.SEED,
        before: Annotated[int | None, Form(ge=1, lt=1 << 40)] = None,
    ) -> None:
        concerns(request, f"{name} from {base}")
        self.base = base
        self.name = name.strip()
        self.fields = fields
        self.start = start
        self.before = before


Asked = Annotated[_Asked, Depends()]


@router.get("/experiments")
def ask(request: Request, who: Provider, index: Rounds) -> HTMLResponse:
    """The form, and what each study fixes now."""
    return _form(
        request, who, index, {"base": "", "name": "", "fields": "", "start": FirstModel.SEED, "before": None}, None
    )


@router.post("/experiments", dependencies=[OwnForm])
def preview(request: Request, who: Provider, index: Rounds, asked: Asked) -> HTMLResponse:
    """The new study with its digest and what it changes; an error goes beside the form."""
    try:
        version = _version(index, asked)
        made = version.proposal if version else _made(index, asked)
    except (Misconfigured, Refused) as error:
        return _form(request, who, index, vars(asked), str(error))
    return render(request, "experiment", who, made=made, version=version, asked=asked, folder=index.settings.studies)


@router.post("/experiments/file", dependencies=[OwnForm])
def download(who: Provider, index: Rounds, asked: Asked) -> Response:
    """The proposal's file; 422 for one that does not hold."""
    made = _holding(index, asked)
    headers = {"Content-Disposition": f'attachment; filename="{made.study.name}.yaml"'}
    return Response(made.text, media_type="application/yaml; charset=utf-8", headers=headers)


@router.post("/experiments/write", dependencies=[OwnForm])
def write(request: Request, who: Provider, index: Rounds, asked: Asked) -> Response:
    """Put the proposal where studies lie, where it runs nothing before its members approve it; 422 unless it holds."""
    proposal.write(_holding(index, asked), index.settings)
    return RedirectResponse(f"{request.scope.get('root_path', '')}/experiments/{asked.name}", 303)


@router.get("/experiments/{name}")
def proposed(request: Request, who: Provider, index: Rounds, name: StudyName) -> HTMLResponse:
    """Where a proposal stands, and what happens next."""
    study = studies.readable_one(index.settings, name)
    digest = study.digest(Consortium.load(index.settings.consortium))
    registered = index.observer.ledger.has_study(study_id(name))
    return render(
        request, "proposed", who, study=study, digest=digest, registered=registered, folder=index.settings.studies
    )


def _version(index: Rounds, asked: _Asked) -> NextVersion | None:
    """The experiment where it continues a model; raises Refused where none is named."""
    if asked.start is FirstModel.SEED:
        return None
    before = None
    if asked.start is FirstModel.BEFORE:
        if asked.before is None:
            raise Refused(
                "the round: got none, want the number of the round whose first model the experiment starts from"
            )
        before = RoundId(asked.before)
    observer = index.observer
    return versions.next_version(
        asked.base, asked.name, Wanted(asked.fields), index.settings, observer.ledger, observer.store, before
    )


def _made(index: Rounds, asked: _Asked) -> Proposal:
    if version := _version(index, asked):
        return version.proposal
    return proposal.propose(asked.base, asked.name, proposal.fields(asked.fields), index.settings)


def _holding(index: Rounds, asked: _Asked) -> Proposal:
    """As from a page that showed the proposal: what does not hold was sent by other means."""
    try:
        return _made(index, asked)
    except InvalidStudy as error:
        raise HTTPException(422, str(error)) from None


def _form(request: Request, who: Provider, index: Rounds, asked: dict[str, Any], trouble: str | None) -> HTMLResponse:
    files = {
        study.name: (index.settings.studies / f"{study.name}.yaml").read_text()
        for study in studies.readable(index.settings)
    }
    return render(
        request,
        "experiments",
        who,
        status=422 if trouble else 200,
        files=files,
        words=study_diff.of_study(),
        asked=asked,
        trouble=trouble,
    )
