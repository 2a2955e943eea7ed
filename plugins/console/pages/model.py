"""A round's model to take away, as `wardround model export` writes it."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from pipeline.domain import RoundId
from pipeline.errors import Misconfigured, Refused
from pipeline.export.forms import FORMS
from pipeline.export.forms.base import FormName
from pipeline.report.round_view import RoundView
from pipeline.site.settings import Settings
from pipeline.views.model_card import WARNING
from plugins.console import command
from plugins.console.access import Anyone
from plugins.console.csrf import OwnForm
from plugins.console.dependencies import Rounds
from plugins.console.page import render
from plugins.console.pages.rounds import RoundNumber

router = APIRouter()

_FORMS: Mapping[FormName, str] = {
    "onnx": "for ONNX Runtime and whatever else reads it; what it does to a record is in the graph",
    "torchscript": "for PyTorch, in C++ and in Python; what it does to a record is in the graph",
    "safetensors": "weights alone, for whoever builds the network again",
}
_LONGEST_SECONDS = 600
_TIME = (1980, 1, 1, 0, 0, 0)


@router.get("/rounds/{number}/model")
def ask_model(request: Request, who: Anyone, index: Rounds, number: RoundNumber) -> HTMLResponse:
    """In which forms the model can be taken away, and what comes with it."""
    view = _made(index.get(RoundId(number)))
    files = [FORMS[name].file for name in _FORMS]
    return render(request, "model", who, view=view, forms=_FORMS, here=_made_here(), files=files, warning=WARNING)


@router.post("/rounds/{number}/model/{form}", dependencies=[OwnForm])
def model(who: Anyone, index: Rounds, number: RoundNumber, form: FormName) -> Response:
    """The folder of `wardround model export` as a zip file; changes nothing."""
    view = _made(index.get(RoundId(number)))
    name = f"{view.study}-round-{number}-{form}"
    headers = {"Content-Disposition": f'attachment; filename="{name}.zip"'}
    return Response(_exported(index.settings, view, form, name), media_type="application/zip", headers=headers)


def _made(view: RoundView) -> RoundView:
    if view.model is None or view.study is None:
        raise Refused(f"Round {view.round} has made no model.")
    if view.measured_scale:
        raise Refused(f"Round {view.round} measured the scale of the inputs and trained nothing; see a later round's.")
    return view


def _made_here() -> set[FormName]:
    """The forms for which this machine has what writes them."""
    here = set()
    for form in FORMS.values():
        with suppress(Misconfigured):
            _ = form.made_with
            here.add(form.name)
    return here


def _exported(settings: Settings, view: RoundView, form: str, name: str) -> bytes:
    lock = settings.home / "exports.lock" / f"round-{view.round}-{form}"
    lock.mkdir(parents=True, exist_ok=True)
    with command.alone(lock, "the same export"), tempfile.TemporaryDirectory(prefix="wardround-") as parent:
        folder = Path(parent) / name
        asked = ["model", "export", str(view.study), "--round", str(view.round), "--format", form, "--out", str(folder)]
        command.answered(settings, *asked, seconds=_LONGEST_SECONDS)
        written = io.BytesIO()
        with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(folder.iterdir()):
                archive.writestr(zipfile.ZipInfo(f"{name}/{file.name}", _TIME), file.read_bytes(), zipfile.ZIP_DEFLATED)
        return written.getvalue()
