"""Every study, and one of them.

What it is in words, its exact terms, who approved what, and a hospital's own decision about it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Request, Response, status
from fastapi.responses import HTMLResponse, RedirectResponse

from pipeline.airflow.accounts import Role
from pipeline.chain.ledger import study_id
from pipeline.consent import approval, backbone_file, consent_log
from pipeline.consent.approval import Decision
from pipeline.consent.consent_log import Position
from pipeline.domain import Address, Sha256
from pipeline.errors import NotApproved
from pipeline.evidence.canonical import canonical_json
from pipeline.evidence.membership import study_digest
from pipeline.mpc import panels
from pipeline.mpc.price import VerificationCost
from pipeline.report.render import TRUST
from pipeline.round import continuation
from pipeline.site.consortium import Consortium
from pipeline.site.settings import Settings
from pipeline.study import study_diff
from pipeline.study.course import conditions
from pipeline.study.study import Study
from pipeline.study.study_diff import Change
from pipeline.study.study_files import StudyFiles
from plugins.console import hospital_folder, studies
from plugins.console.access import Anyone, Hospital
from plugins.console.csrf import OwnForm
from plugins.console.dependencies import Rounds, concerns
from plugins.console.page import Link, render
from plugins.console.people import Person
from plugins.console.studies import Published, StudyName

router = APIRouter()
LINK = Link(70, "Studies", "/studies")

Digest = Annotated[str, Form(pattern=r"^[0-9a-f]{64}$", description="The digest that the page showed.")]

_DONE = {
    "approved": "Approved: the consent is signed with the hospital's key.",
    "withdrawn": "Withdrawn: the hospital takes no further step of this study until it is approved again.",
}


@dataclass(frozen=True)
class StudyRow:
    """A study in the list."""

    name: str
    title: str
    digest: Sha256
    registered: bool
    model: Sha256 | None
    rounds: int
    hospitals: str
    nodes: str
    own_position: Position | None


@dataclass(frozen=True)
class VersionDifference:
    """What changed since a version that some members approved last."""

    digest: Sha256
    members: Sequence[str]
    changes: Sequence[Change]


@dataclass(frozen=True)
class OwnPosition:
    """A hospital's own position: by its own folder where that is here, else by what it published."""

    here: bool
    approved: bool
    withdrawn: bool
    last: Decision | None
    """The last consent to another version."""
    changes: Sequence[Change]
    unpublished: int
    trouble: str | None


@router.get("/studies")
def listed(request: Request, who: Anyone, index: Rounds, published: Published) -> HTMLResponse:
    """Every study with its digest, its current model and who approved it."""
    files = StudyFiles.read(index.settings.studies)
    members = studies.consortium(index.settings)
    positions = published.all(files.studies, members)
    finished = [view.study for view in index.all().rounds if view.model]
    rows = []
    for name, study in files.studies.items():
        digest = study.digest(members)
        registered = index.observer.ledger.has_study(study_id(name))
        rows.append(
            StudyRow(
                name=name,
                title=study.title,
                digest=digest,
                registered=registered,
                model=index.observer.ledger.study(study_id(name)).current_model if registered else None,
                rounds=finished.count(name),
                hospitals=_counted(positions[name], digest, node=False),
                nodes=_counted(positions[name], digest, node=True),
                own_position=next(
                    (position for position in positions[name] if who.hospital == position.name and not position.node),
                    None,
                ),
            )
        )
    wrong = {name: f"{error.field}: got {error.got!r}, want {error.wanted}" for name, error in files.wrong.items()}
    return render(request, "studies", who, rows=rows, wrong=wrong)


@router.get("/studies/{name}")
def one(
    request: Request, who: Anyone, index: Rounds, published: Published, name: StudyName, done: str = ""
) -> HTMLResponse:
    """One study as its owners have to understand it before they approve."""
    study = studies.one(index.settings, name)
    members = studies.consortium(index.settings)
    text = study.terms(members)
    digest = study_digest(text)
    positions = published.positions(study, members)
    registered = index.observer.ledger.has_study(study_id(name))
    rounds = [view for view in index.all().rounds if view.study == name and view.model]
    before = continuation.predecessor(study, index.settings.studies)
    return render(
        request,
        "study",
        who,
        study=study,
        source=study.source,
        digest=digest,
        rule=study_diff.rule(text),
        training=study_diff.training(text),
        deadlines=study_diff.deadlines(study, text),
        course=conditions(study.course) if study.course else (),
        cost=VerificationCost.of(study),
        panel=panels.in_words(len(study.hospitals), study.rule.panel),
        layers=study_diff.layers(study.model_dump()["model"]),
        trust=TRUST.get(study.protocol, "See docs/explanation/threat-model.md for what this protocol trusts."),
        members=members,
        registered=registered,
        model=index.observer.ledger.study(study_id(name)).current_model if registered else None,
        rounds=rounds,
        positions=positions,
        since=study_diff.changes(before.terms(members), text) if before else (),
        differences=_differences(positions, digest, text),
        own_position=_own_position(index.settings, who, study, members, positions, digest, text)
        if who.role is Role.HOSPITAL
        else None,
        done=_DONE.get(done),
    )


@router.get("/studies/{name}/terms.json")
def exact(who: Anyone, index: Rounds, name: StudyName) -> Response:
    """The very bytes that the digest is made of, beside the root of the hospitals' accounts in them."""
    data = canonical_json(studies.one(index.settings, name).terms(studies.consortium(index.settings)))
    return Response(
        data,
        media_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="{name}-terms.json"'},
    )


@router.post("/studies/{name}/approve", dependencies=[OwnForm])
def approve_study(request: Request, who: Hospital, index: Rounds, name: StudyName, digest: Digest) -> Response:
    """Sign consent with the hospital's own key, to what the page showed and nothing else."""
    return _decided(request, who, index, name, Sha256(digest), "approved")


@router.post("/studies/{name}/withdraw", dependencies=[OwnForm])
def withdraw_study(request: Request, who: Hospital, index: Rounds, name: StudyName, digest: Digest) -> Response:
    """Take the hospital's consent back."""
    return _decided(request, who, index, name, Sha256(digest), "withdrawn")


def _decided(request: Request, who: Person, index: Rounds, name: str, digest: Sha256, what: str) -> Response:
    concerns(request, f"{name} {digest[:12]}")
    study = studies.one(index.settings, name)
    owner = hospital_folder.identity(index.settings, who)
    if owner.name not in study.hospitals:
        raise HTTPException(status.HTTP_403_FORBIDDEN, f"{owner.name} is no hospital of study {name}.")
    if what == "approved":
        backbone_file.obtain(owner, study, index.settings)
    decide = approval.approve if what == "approved" else approval.withdraw
    decide(owner, study, studies.consortium(index.settings), digest)
    consent_log.publish_or_say(index.settings, owner, study)  # the page says what is not published yet
    return RedirectResponse(f"{request.scope.get('root_path', '')}/studies/{name}?done={what}", 303)


def _own_position(
    settings: Settings,
    who: Person,
    study: Study,
    members: Consortium,
    positions: Sequence[Position],
    digest: Sha256,
    text: Mapping[str, Any],
) -> OwnPosition | None:
    name = hospital_folder.name(who)
    position = next((candidate for candidate in positions if candidate.name == name and not candidate.node), None)
    if position is None:
        return None
    here = hospital_folder.folder(settings, who) is not None
    trouble = position.trouble
    unpublished = 0
    approved = position.approved(digest)
    if here:
        owner = hospital_folder.identity(settings, who)
        position = Position(name, False, owner.key.address, approval.kept(owner, study.name, members.ledger))
        unpublished = len(consent_log.outstanding(owner, study.name))
        approved = _in_force(owner, study, digest, members)
        if owner.key.address != Address(members.hospitals[name]):
            trouble = (
                "the key in the hospital's folder is not the one in the consortium file, so nobody counts what it signs"
            )
    last = position.consent if position.consent and position.consent.digest != digest else None
    said = position.last(digest)
    return OwnPosition(
        here=here,
        approved=approved,
        withdrawn=not approved and said is not None and not said.given,
        last=last,
        changes=study_diff.changes(last.terms or {}, text) if last else (),
        unpublished=unpublished,
        trouble=trouble,
    )


def _in_force(owner: Any, study: Study, digest: Sha256, members: Consortium) -> bool:
    try:
        approval.require(owner, study.name, digest, members.ledger)
    except NotApproved:
        return False
    return True


def _differences(positions: Sequence[Position], digest: Sha256, text: Mapping[str, Any]) -> list[VersionDifference]:
    """By the version that members approved last, where that is not the present one."""
    by_digest: dict[Sha256, tuple[list[str], Mapping[str, Any]]] = {}
    for position in positions:
        if position.consent and position.consent.digest != digest and not position.approved(digest):
            by_digest.setdefault(position.consent.digest, ([], position.consent.terms or {}))[0].append(position.name)
    return [
        VersionDifference(old, names, study_diff.changes(before, text)) for old, (names, before) in by_digest.items()
    ]


def _counted(positions: Sequence[Position], digest: Sha256, *, node: bool) -> str:
    chosen = [position for position in positions if position.node is node]
    return f"{sum(position.approved(digest) for position in chosen)} of {len(chosen)}"
