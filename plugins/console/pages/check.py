"""Pre-check: would a data set or a model pass, and why.

The hospital's own commands on its own machine, and nothing is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse

from pipeline.airflow.accounts import Role
from pipeline.errors import Refused, WardroundError
from pipeline.study.study import Study
from plugins.console import hospital_folder, studies
from plugins.console.access import Hospital
from plugins.console.csrf import OwnForm
from plugins.console.dependencies import Rounds, concerns
from plugins.console.page import Link, render
from plugins.console.people import Person
from plugins.console.round_cache import RoundCache

router = APIRouter()
LINK = Link(90, "Check", "/hospital/check", (Role.HOSPITAL,))

Chosen = Annotated[str, Form(max_length=200)]

_TRAINED = ""
"""Stands for the model that the hospital would train now."""


@router.get("/hospital/check")
def ask(request: Request, who: Hospital, index: Rounds) -> HTMLResponse:
    """What can be checked."""
    return _page(request, who, index)


@router.post("/hospital/check/data", dependencies=[OwnForm])
def check_data(request: Request, who: Hospital, index: Rounds, study: Chosen, records: Chosen) -> HTMLResponse:
    """What `wardround data check` says."""
    try:
        path = _listed(_records(hospital_folder.folder(index.settings, who)), records, "records")
        answer = hospital_folder.ask(
            index.settings, who, "data", "check", str(path), "--study", _named(request, index, who, study)
        )
    except WardroundError as error:
        return _page(request, who, index, study, records, trouble=str(error))
    return _page(request, who, index, study, records, data=answer)


@router.post("/hospital/check/model", dependencies=[OwnForm])
def check_model(
    request: Request, who: Hospital, index: Rounds, study: Chosen, model: Chosen = _TRAINED
) -> HTMLResponse:
    """What `wardround model check` says."""
    try:
        model_option = (
            ()
            if model == _TRAINED
            else ("--model", str(_listed(_models(hospital_folder.folder(index.settings, who)), model, "models")))
        )
        answer = hospital_folder.ask(
            index.settings,
            who,
            "model",
            "check",
            _named(request, index, who, study),
            "--as",
            hospital_folder.name(who),
            *model_option,
        )
    except WardroundError as error:
        return _page(request, who, index, study, model, trouble=str(error))
    return _page(request, who, index, study, model, model=answer)


def _page(
    request: Request,
    who: Person,
    index: RoundCache,
    study: str = "",
    subject: str = "",
    *,
    data: Mapping[str, Any] | None = None,
    model: Mapping[str, Any] | None = None,
    trouble: str | None = None,
) -> HTMLResponse:
    home = hospital_folder.folder(index.settings, who)
    return render(
        request,
        "check",
        who,
        status=422 if trouble else 200,
        name=hospital_folder.name(who),
        here=home is not None,
        studies=_studies(index, who),
        records=[path.name for path in _records(home)],
        models=[path.name for path in _models(home)],
        study=study,
        subject=subject,
        data=data,
        model=model,
        trouble=trouble,
    )


def _studies(index: RoundCache, who: Person) -> Mapping[str, Study]:
    return studies.of_hospital(index.settings, hospital_folder.name(who))


def _named(request: Request, index: RoundCache, who: Person, study: str) -> str:
    if study not in _studies(index, who):
        raise Refused(f"got a study that does not name {hospital_folder.name(who)}; choose one of the list")
    concerns(request, study)
    return study


def _records(home: Path | None) -> Sequence[Path]:
    """Data sets as the hospital keeps them, without what its DVC repository keeps beside them."""
    entries = sorted((home / "data" / "records").iterdir()) if home and (home / "data" / "records").is_dir() else []
    return [path for path in entries if path.suffix != ".dvc" and not path.name.startswith(".")]


def _models(home: Path | None) -> Sequence[Path]:
    return sorted((home / "models").glob("*.safetensors")) if home else ()


def _listed(paths: Sequence[Path], name: str, what: str) -> Path:
    """Of what lies there the one of this name: no path is made of what a request says."""
    match = next((path for path in paths if path.name == name), None)
    if match is None:
        raise Refused(f"got a name that none of the hospital's {what} has; choose one of the list")
    return match
