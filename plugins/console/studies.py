"""The studies of this installation, and what their owners decided, as several pages show them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import Depends, HTTPException, Path, Request, status

from pipeline.consent.consent_log import ConsentLog
from pipeline.domain import NAME_PATTERN, HospitalName
from pipeline.site.consortium import Consortium
from pipeline.site.settings import Settings
from pipeline.study.study import Study
from pipeline.study.study_files import StudyFiles

StudyName = Annotated[str, Path(pattern=f"^{NAME_PATTERN}$", description="Name of a study's file, without .yaml.")]


def readable(settings: Settings) -> list[Study]:
    """Studies whose files hold, by name; Airflow reports the others as import errors."""
    return list(StudyFiles.read(settings.studies).studies.values())


def readable_one(settings: Settings, name: str) -> Study:
    """The study of that name; 404 where no file that holds has it."""
    study = StudyFiles.read(settings.studies).studies.get(name)
    if study is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"There is no study called {name} whose file holds.")
    return study


def of_hospital(settings: Settings, hospital: HospitalName) -> Mapping[str, Study]:
    """Those that name a hospital, by name."""
    return {study.name: study for study in readable(settings) if hospital in study.hospitals}


def one(settings: Settings, name: str) -> Study:
    """One study; 404 when there is no file of that name, raises InvalidStudy."""
    file = settings.studies / f"{name}.yaml"
    if not file.exists():
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"There is no study {name} in this installation.")
    return Study.load(file)


def consortium(settings: Settings) -> Consortium:
    """The members."""
    return Consortium.load(settings.consortium)


def _published(request: Request) -> ConsentLog:
    state = request.app.state
    if not hasattr(state, "consents"):
        state.consents = ConsentLog(state.index.observer.store)
    log: ConsentLog = state.consents
    return log


Published = Annotated[ConsentLog, Depends(_published)]
"""What owners decided, as they published it."""
