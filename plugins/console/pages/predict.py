"""Predict with the current global model on the hospital's own machine: a row typed here, a table, pictures.

No medical device.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import HTMLResponse

from pipeline.airflow.accounts import Role
from pipeline.datasets.days import SOME_DAY, date_after
from pipeline.datasets.picture_files import KINDS
from pipeline.datasets.table import Column, Table
from pipeline.domain import Sha256
from pipeline.errors import EvidenceRejected, FileRejected, Refused, WardroundError
from pipeline.study.study import Study
from pipeline.views import model_card as cards
from pipeline.views.gain import RIVALS, TRAINED_ON
from pipeline.views.model_card import ModelCard
from plugins.console import charts, hospital_folder, studies, uploads
from plugins.console.access import Hospital
from plugins.console.csrf import OwnForm
from plugins.console.dependencies import Rounds, concerns
from plugins.console.page import Link, render
from plugins.console.people import Person
from plugins.console.round_cache import RoundCache

router = APIRouter()
LINK = Link(100, "Predict", "/hospital/predict", (Role.HOSPITAL,))

_SHOWN = 1000
"""Answers on a page; a larger file is the command's."""
_LONGEST_CELL = 60


Chosen = Annotated[str, Form(max_length=40, description="Name of a study.")]
Cells = Annotated[
    list[str],
    Form(max_length=1000, description="One for each column of the data set, in its order; empty where it has none."),
]
Files = Annotated[list[UploadFile], File(description="One table, or pictures.")]


@router.get("/hospital/predict")
def ask(request: Request, who: Hospital, index: Rounds, study: str = "") -> HTMLResponse:
    """The model's card, and what can be asked."""
    offered = _studies(index, who)
    made = [name for name in offered if any(view.study == name and view.model for view in index.all().rounds)]
    # Without a choice a study that has a model, where there is one.
    chosen = offered.get(study) or next((offered[name] for name in (*made, *offered)), None)
    return _page(request, who, index, chosen)


@router.post("/hospital/predict/row", dependencies=[OwnForm])
def predict_row(request: Request, who: Hospital, index: Rounds, study: Chosen, cell: Cells) -> HTMLResponse:
    """What `wardround predict STUDY -` says of one typed row."""
    return _row(
        request, who, index, _chosen(request, index, who, study), [text.strip()[:_LONGEST_CELL] for text in cell]
    )


@router.post(uploads.PATH, dependencies=[OwnForm])
def predict_files(request: Request, who: Hospital, index: Rounds, study: Chosen, files: Files) -> HTMLResponse:
    """What `wardround predict STUDY FILE` says of uploaded rows or pictures, of which nothing is kept."""
    return _files(request, who, index, _chosen(request, index, who, study), [file for file in files if file.filename])


@router.post("/hospital/predict/compare", dependencies=[OwnForm])
def compare(request: Request, who: Hospital, index: Rounds, study: Chosen) -> HTMLResponse:
    """What `wardround model compare STUDY` says."""
    chosen = _chosen(request, index, who, study)
    try:
        found = hospital_folder.ask(
            index.settings, who, "model", "compare", chosen.name, "--as", hospital_folder.name(who)
        )
    except WardroundError as error:
        return _page(request, who, index, chosen, trouble=str(error))
    return _page(request, who, index, chosen, gain=found)


def _row(request: Request, who: Person, index: RoundCache, study: Study, typed: Sequence[str]) -> HTMLResponse:
    try:
        text = json.dumps(cells(_columns(study), typed))
        answered = hospital_folder.ask(
            index.settings, who, "predict", study.name, "-", "--as", hospital_folder.name(who), text=text
        )
    except WardroundError as error:
        return _page(request, who, index, study, typed, trouble=_of_a_form(str(error)))
    return _page(request, who, index, study, typed, answered=answered)


def _files(request: Request, who: Person, index: RoundCache, study: Study, given: Sequence[UploadFile]) -> HTMLResponse:
    try:
        with uploads.laid_out(given, table=isinstance(study.source, Table)) as path:
            answered = hospital_folder.ask(
                index.settings, who, "predict", study.name, str(path), "--as", hospital_folder.name(who)
            )
    except WardroundError as error:
        return _page(request, who, index, study, trouble=str(error))
    return _page(request, who, index, study, answered=answered)


def cells(columns: Sequence[Column], typed: Sequence[str]) -> dict[str, float | str]:
    """The row that was typed, column to value, without its empty cells; days as two dates.

    Raises FileRejected naming each column that is wrong, never with a value.
    """
    if len(typed) != len(columns):
        raise FileRejected(f"got {len(typed)} cells, want one for each of {len(columns)} columns; open the page again")
    values: dict[str, float | str] = {}
    wrong = []
    for column, text in zip(columns, typed, strict=True):
        if not text and column.empty == "refused":
            wrong.append(f"{column.name} is empty; every row needs a value there.")
        elif text and column.categories:
            values[column.name] = text
        elif text:
            try:
                values |= _number(column, float(text))
            except (ValueError, OverflowError):
                wrong.append(f"{column.name} is no number; write one with a point, such as 1.5.")
    if wrong:
        raise FileRejected(" ".join(wrong))
    return values


def _number(column: Column, value: float) -> dict[str, float | str]:
    if not math.isfinite(value):
        raise ValueError("no finite number")
    if column.days_since:
        return {column.name: date_after(value).isoformat(), column.days_since: SOME_DAY.isoformat()}
    return {column.name: value}


def _of_a_form(message: str) -> str:
    return message.replace(" in row 1 of standard input", "")


def _page(
    request: Request,
    who: Person,
    index: RoundCache,
    study: Study | None,
    typed: Sequence[str] = (),
    *,
    answered: Mapping[str, Any] | None = None,
    gain: Mapping[str, Any] | None = None,
    trouble: str | None = None,
) -> HTMLResponse:
    card = None
    no_card = None
    if study is not None:
        try:
            card = _card(index, study)
        except (EvidenceRejected, Refused) as error:
            no_card = str(error)
    answers = answered["answers"] if answered else []
    return render(
        request,
        "predict",
        who,
        status=422 if trouble else 200,
        name=hospital_folder.name(who),
        here=hospital_folder.folder(index.settings, who) is not None,
        studies=list(_studies(index, who)),
        study=study,
        columns=_columns(study) if study else (),
        typed=typed,
        card=card,
        no_card=no_card,
        drawn=charts.of_scores(card.measures) if card and card.measures else [],
        warning=cards.WARNING,
        answers=answers[:_SHOWN],
        more=max(0, len(answers) - _SHOWN),
        made_by=answered["card"]["model"] if answered else None,
        trouble=trouble,
        gain=gain,
        rivals=RIVALS,
        trained_on=TRAINED_ON,
        kinds=KINDS,
        most_files=uploads.MOST_FILES,
        most_mebibytes=uploads.MOST_BYTES >> 20,
    )


def _card(index: RoundCache, study: Study) -> ModelCard:
    """As `wardround predict` makes it, from the rounds at hand."""
    finished = [view for view in index.all().rounds if view.study == study.name and view.model]
    if not finished:
        raise Refused("No round of this study has ended in a model yet, so there is nothing to predict with.")
    last = finished[0]
    digest = Sha256(finished[0].model or "")
    if not index.observer.ledger.verify_model(last.round, digest):
        raise EvidenceRejected(
            f"The ledger does not vouch for model {digest[:16]} of round {last.round}; do not use it."
        )
    return cards.card(study, last, digest, len(finished))


def _studies(index: RoundCache, who: Person) -> Mapping[str, Study]:
    return studies.of_hospital(index.settings, hospital_folder.name(who))


def _chosen(request: Request, index: RoundCache, who: Person, name: str) -> Study:
    study = _studies(index, who).get(name)
    if study is None:
        raise Refused(f"got a study that does not name {hospital_folder.name(who)}; choose one of the list")
    concerns(request, study.name)
    return study


def _columns(study: Study) -> Sequence[Column]:
    source = study.source
    return source.columns if isinstance(source, Table) else ()
