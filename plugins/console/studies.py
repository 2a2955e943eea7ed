"""The studies of this installation, and what their owners decided, as several pages show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, HTTPException, Path, Request, status

from pipeline.consent.consent_log import ConsentLog
from pipeline.domain import NAME_PATTERN, HospitalName
from pipeline.errors import InvalidStudy
from pipeline.site.consortium import Consortium
from pipeline.site.settings import Settings
from pipeline.study.study import Study
from plugins.console.round_cache import RoundCache

StudyName = Annotated[str, Path(pattern=f"^{NAME_PATTERN}$", description="Name of a study's file, without .yaml.")]


@dataclass(frozen=True)
class Found:
    """Every study file, read; what is wrong with those that cannot be."""

    studies: Mapping[str, Study]
    wrong: Mapping[str, str]


def every(settings: Settings) -> Found:
    """The studies by name."""
    studies = {}
    wrong = {}
    for file in sorted(settings.studies.glob("*.yaml")):
        try:
            studies[file.stem] = Study.load(file)
        except InvalidStudy as error:
            wrong[file.stem] = f"{error.field}: got {error.got!r}, want {error.wanted}"
    return Found(studies, wrong)


def of_hospital(settings: Settings, hospital: HospitalName) -> Mapping[str, Study]:
    """Those that name a hospital."""
    return {name: study for name, study in every(settings).studies.items() if hospital in study.hospitals}


def one(settings: Settings, name: str) -> Study:
    """One study; 404 when there is no file of that name, raises InvalidStudy."""
    file = settings.studies / f"{name}.yaml"
    if not file.exists():
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"There is no study {name} in this installation.")
    return Study.load(file)


def consortium(index: RoundCache) -> Consortium:
    """The members."""
    return Consortium.load(index.settings.consortium)


def _published(request: Request) -> ConsentLog:
    state = request.app.state
    if not hasattr(state, "consents"):
        state.consents = ConsentLog(state.index.observer.store)
    log: ConsentLog = state.consents
    return log


Published = Annotated[ConsentLog, Depends(_published)]
"""What owners decided, as they published it."""
