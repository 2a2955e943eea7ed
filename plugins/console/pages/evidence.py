"""What an auditor reads of a round: how it went, its report, an audit on demand, the proof bundle."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import HTMLResponse

from pipeline.audit import proof_bundle
from pipeline.audit.round_evidence import RoundEvidence
from pipeline.audit.round_objects import RoundObjects
from pipeline.domain import RoundId, Sha256
from pipeline.errors import ObjectMissing, Refused
from pipeline.report.render import REASONS
from pipeline.store import object_keys
from pipeline.views.round_timeline import round_timeline
from plugins.console.access import Anyone
from plugins.console.csrf import OwnForm
from plugins.console.dependencies import Rounds
from plugins.console.page import render
from plugins.console.pages.rounds import RoundNumber

router = APIRouter()

Digest = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]

_TYPES = {
    "html": "text/html; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "png": "image/png",
}
_REPORT_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""A stored report is somebody's file: it runs nothing, sends nothing and is of no origin."""


@router.get("/rounds/{number}/timeline")
def timeline(request: Request, who: Anyone, index: Rounds, number: RoundNumber) -> HTMLResponse:
    """From the opening to finality: transactions, votes, validations, report."""
    view = index.get(RoundId(number))
    went = round_timeline(view.round, index.observer)
    return render(request, "timeline", who, view=view, went=went, reasons=REASONS)


@router.get("/rounds/{number}/report/{digest}.{suffix}")
def report(
    who: Anyone, index: Rounds, number: RoundNumber, digest: Digest, suffix: Literal["html", "csv", "json", "png"]
) -> Response:
    """One form of the stored report, by its digest."""
    index.check(RoundId(number))
    objects = RoundObjects(index.observer.store, RoundId(number))
    key_prefix = object_keys.report(RoundId(number), suffix)
    if digest not in objects.digests(key_prefix):
        raise ObjectMissing(f"Round {number} has no {suffix} report with digest {digest}.")
    headers = {"Content-Security-Policy": _REPORT_POLICY}
    if suffix in ("csv", "json"):
        headers["Content-Disposition"] = f'attachment; filename="round-{number}.{suffix}"'
    return Response(objects.read(key_prefix, Sha256(digest)), media_type=_TYPES[suffix], headers=headers)


@router.get("/rounds/{number}/audit")
def ask_audit(request: Request, who: Anyone, index: Rounds, number: RoundNumber) -> HTMLResponse:
    """What an audit does, and the button that starts one."""
    index.check(RoundId(number))
    return render(request, "audit", who, number=number, audited=None)


@router.post("/rounds/{number}/audit", dependencies=[OwnForm])
def audit(request: Request, who: Anyone, index: Rounds, number: RoundNumber) -> HTMLResponse:
    """The same checks as `wardround audit`, made now; changes nothing."""
    index.check(RoundId(number))
    return render(request, "audit", who, number=number, audited=index.observer.audit(RoundId(number)))


@router.get("/rounds/{number}/proof.zip")
def proof(who: Anyone, index: Rounds, number: RoundNumber) -> Response:
    """The file that `wardround proof` writes."""
    index.check(RoundId(number))
    observer = index.observer
    evidence = RoundEvidence(RoundId(number), observer.ledger, observer.store)
    state = observer.ledger.round(evidence.round)
    if state.finalised is None:
        raise Refused(f"Round {number} is {state.status}; there is a proof bundle of finalised rounds only.")
    data = proof_bundle.pack(evidence, observer.ledger.transcript(state))
    headers = {"Content-Disposition": f'attachment; filename="round-{number}-proof.zip"'}
    return Response(data, media_type="application/zip", headers=headers)
