"""`wardround study`: read a study as a worker's owner does, and consent to it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console

from pipeline.cli.arguments import BeforeRound, OwnActor, StudyName
from pipeline.consent import approval, backbone_file, consent_log
from pipeline.domain import HospitalName, RoundId, Sha256
from pipeline.errors import Misconfigured, NotApproved
from pipeline.governance import proposal, versions
from pipeline.governance.versions import Wanted
from pipeline.mpc import panels
from pipeline.mpc.price import VerificationCost
from pipeline.round import continuation
from pipeline.round.worker import Worker
from pipeline.site.consortium import Consortium
from pipeline.site.identity import Identity
from pipeline.site.settings import Settings
from pipeline.site.site import Site, SiteRole
from pipeline.study import study_diff
from pipeline.study.study import Study
from pipeline.study.study_diff import Change

studies = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Read studies and consent to them.")

Expected = Annotated[
    Sha256 | None,
    typer.Option("--digest", metavar="SHA256", parser=Sha256, help="What you read; another digest is refused."),
]
NewName = Annotated[str, typer.Argument(metavar="NAME", help="Name that the new version is to have.")]
Joins = Annotated[
    list[str] | None, typer.Option("--with", metavar="HOSPITAL", help="A hospital that joins; may be given again.")
]
Leaves = Annotated[
    list[str] | None, typer.Option("--without", metavar="HOSPITAL", help="A hospital that leaves; may be given again.")
]
Fields = Annotated[
    str, typer.Option("--fields", metavar="YAML", help="Other fields that change, such as `training: {steps: 8}`.")
]
AsMember = Annotated[
    str | None, typer.Option("--as", metavar="NAME", help="Who proposes; by default this site, or the provider.")
]


@studies.command()
def show(study: StudyName) -> None:
    """Show all that a study fixes, its digest, and who on this machine has approved it."""
    settings = Settings.load()
    console = Console()
    read = Study.load(settings.studies / f"{study}.yaml")
    consortium = Consortium.load(settings.consortium)
    digest = read.digest(consortium)
    console.print(yaml.safe_dump(read.model_dump(mode="json"), sort_keys=False), highlight=False)
    console.print(f"parameters of the model: {read.network.size}")
    console.print(f"a round's verification: {VerificationCost.of(read)}", highlight=False)
    console.print(
        f"  of that, trying the models: {read.work:,} of at most {read.rule.most_work:,} million comparisons",
        highlight=False,
    )
    console.print(f"  {panels.in_words(len(read.hospitals), read.rule.panel)}", highlight=False)
    console.print(f"digest: {digest}", highlight=False)
    for name in (*read.hospitals, *read.nodes):
        try:
            approval.require(_actor(settings, name), study, digest, consortium.ledger)
            console.print(f"  {name}: approved")
        except NotApproved:
            console.print(f"  {name}: [bold]not approved[/bold]")
            _print_changes(_before(_actor(settings, name), read, consortium, settings), read, consortium)
        except Misconfigured:
            console.print(f"  {name}: not on this machine")


@studies.command()
def digest(study: StudyName) -> None:
    """Print the digest that owners approve: study, members' keys and certificates, ledger, code."""
    settings = Settings.load()
    typer.echo(Study.load(settings.studies / f"{study}.yaml").digest(Consortium.load(settings.consortium)))


@studies.command()
def approve(study: StudyName, name: OwnActor = None, digest: Expected = None) -> None:
    """Consent to the study's present digest as the owner of a hospital or node, and publish the signed consent."""
    owner, read, consortium, settings = _owner(study, name)
    before = _before(owner, read, consortium, settings)
    backbone_file.obtain(owner, read, settings)
    signed = approval.approve(owner, read, consortium, digest)
    typer.echo(f"{owner.name} approved {study} with digest {signed}")
    _print_changes(before, read, consortium)
    _publish(settings, owner, read)


@studies.command("continue")
def continue_(
    study: StudyName,
    name: NewName,
    joins: Joins = None,
    leaves: Leaves = None,
    fields: Fields = "",
    home: AsMember = None,
) -> None:
    """Propose a version of a study under a new name that goes on from its newest model, with what it changes."""
    _propose(study, name, Wanted(fields, _hospitals(joins), _hospitals(leaves)), home)


@studies.command()
def rewind(
    study: StudyName,
    name: NewName,
    before: BeforeRound,
    joins: Joins = None,
    leaves: Leaves = None,
    fields: Fields = "",
    home: AsMember = None,
) -> None:
    """Propose a version of a study under a new name that goes on from an earlier model, with what it changes."""
    _propose(study, name, Wanted(fields, _hospitals(joins), _hospitals(leaves)), home, RoundId(before))


@studies.command()
def withdraw(study: StudyName, name: OwnActor = None, digest: Expected = None) -> None:
    """Take back consent to the study's present digest: its worker is absent from the next step on.

    Publishes the signed withdrawal.
    """
    owner, read, consortium, settings = _owner(study, name)
    signed = approval.withdraw(owner, read, consortium, digest)
    typer.echo(f"{owner.name} withdrew its consent to {study} with digest {signed}")
    _publish(settings, owner, read)


def _propose(study: str, name: str, wanted: Wanted, member: str | None, before: RoundId | None = None) -> None:
    settings = Settings.load()
    site = Site.load(settings)
    member = member or (site.name if site is not None and site.role in (SiteRole.HOSPITAL, SiteRole.NODE) else None)
    home = _home(settings, member) if member else settings.provider
    worker = Worker.visit(study, home, settings)
    made = versions.next_version(study, name, wanted, settings, worker.ledger, worker.board.store, before)
    path = proposal.write(made.proposal, settings)
    continued = made.continues
    typer.echo(f"{path}: {name} goes on from the model of round {continued.round} of {continued.study}")
    _print(made.changes)
    for hospital, rounds in made.within.items():
        numbers = f"rounds {', '.join(map(str, rounds))}" if rounds else "no round"
        typer.echo(f"    {hospital} leaves; that model has what it learned from {hospital} in {numbers}")
    typer.echo(
        f"nothing runs yet: hand the file to everybody, let the provider give `wardround up`, and all owners approve"
        f" digest {made.proposal.digest}"
    )


def _hospitals(names: list[str] | None) -> tuple[HospitalName, ...]:
    return tuple(map(HospitalName, names or ()))


def _owner(study: str, name: str | None) -> tuple[Identity, Study, Consortium, Settings]:
    settings = Settings.load()
    read = Study.load(settings.studies / f"{study}.yaml")
    site = Site.load(settings)
    if name is None and site is not None:
        name = site.name
    if name not in (*read.hospitals, *read.nodes):
        raise Misconfigured(f"--as: got {name or 'nobody'}, want one of {', '.join((*read.hospitals, *read.nodes))}")
    return _actor(settings, name), read, Consortium.load(settings.consortium), settings


def _before(owner: Identity, study: Study, consortium: Consortium, settings: Settings) -> Mapping[str, Any] | None:
    """The terms that an owner approved last, or those of the study that this one continues; None for neither."""
    names = (study.name, study.continues.study) if study.continues else (study.name,)
    for name in names:
        if (last := approval.last_consent(owner, name, consortium.ledger)) is not None:
            return last.terms
    continued = continuation.predecessor(study, settings.studies)
    return continued.terms(consortium) if continued else None


def _print_changes(before: Mapping[str, Any] | None, study: Study, consortium: Consortium) -> None:
    """What differs from the version before, for an owner."""
    if before is not None:
        _print(study_diff.changes(before, study.terms(consortium)))


def _print(changes: Iterable[Change]) -> None:
    for change in changes:
        old, new = (value if value is not None else study_diff.NOTHING for value in (change.before, change.after))
        typer.echo(f"    changed: {change.label}: {_short(old)} -> {_short(new)}")


def _short(value: str) -> str:
    """A digest by its beginning, everything else whole."""
    return value[:12] if len(value) == 64 and set(value) <= set("0123456789abcdef") else value


def _publish(settings: Settings, owner: Identity, study: Study) -> None:
    if trouble := consent_log.publish_or_say(settings, owner, study):
        sys.stderr.write(f"wardround: not published yet, and valid all the same: {trouble}\n")


def _actor(settings: Settings, name: str) -> Identity:
    return Identity.load(_home(settings, name))


def _home(settings: Settings, name: str) -> Path:
    return settings.hospital(name) if settings.hospital(name).exists() else settings.node(name)
