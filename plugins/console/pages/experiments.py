"""Propose an experiment: a study with some fields changed, under a new name, for its members to approve."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from pipeline.chain.ledger import study_id
from pipeline.errors import InvalidStudy, Misconfigured, Refused
from pipeline.governance import proposal
from pipeline.governance.proposal import Proposal
from pipeline.setup.accounts import Role
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


class _Asked:
    """The form's fields; what is made of them is made anew each time, so that nobody can slip in another text."""

    def __init__(
        self,
        request: Request,
        base: Annotated[str, Form(max_length=64)],
        name: Annotated[str, Form(max_length=64)],
        fields: Annotated[str, Form(max_length=20_000)],
    ) -> None:
        concerns(request, f"{name} from {base}")
        self.base = base
        self.name = name.strip()
        self.fields = fields


Asked = Annotated[_Asked, Depends()]


@router.get("/experiments")
def ask(request: Request, who: Provider, index: Rounds) -> HTMLResponse:
    """The form, and what each study fixes now."""
    return _form(request, who, index, {"base": "", "name": "", "fields": ""}, None)


@router.post("/experiments", dependencies=[OwnForm])
def preview(request: Request, who: Provider, index: Rounds, asked: Asked) -> HTMLResponse:
    """The new study with its digest and what it changes; an error goes beside the form."""
    try:
        made = _made(index, asked)
    except (Misconfigured, Refused) as error:
        return _form(request, who, index, vars(asked), str(error))
    return render(request, "experiment", who, made=made, asked=asked, folder=index.settings.studies)


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


def _made(index: Rounds, asked: _Asked) -> Proposal:
    return proposal.propose(asked.base, asked.name, asked.fields, index.settings)


def _holding(index: Rounds, asked: _Asked) -> Proposal:
    """As from a page that showed the proposal: what does not hold was sent by other means."""
    try:
        return _made(index, asked)
    except InvalidStudy as error:
        raise HTTPException(422, str(error)) from None


def _form(request: Request, who: Provider, index: Rounds, asked: dict[str, str], trouble: str | None) -> HTMLResponse:
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
