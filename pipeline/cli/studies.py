"""`wardround study`: read a study as a worker's owner does, and consent to it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
import yaml
from rich.console import Console

from pipeline.cli.arguments import OwnActor, StudyName
from pipeline.consent import approval, consent_log
from pipeline.consent.approval import Decision
from pipeline.domain import Sha256
from pipeline.errors import Misconfigured, NotApproved
from pipeline.site.consortium import Consortium
from pipeline.site.identity import Identity
from pipeline.site.settings import Settings
from pipeline.site.site import Site
from pipeline.study import study_diff
from pipeline.study.study import Study

studies = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Read studies and consent to them.")

Expected = Annotated[
    Sha256 | None,
    typer.Option("--digest", metavar="SHA256", parser=Sha256, help="What you read; another digest is refused."),
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
    console.print(f"digest: {digest}", highlight=False)
    for name in (*read.hospitals, *read.nodes):
        try:
            approval.require(_actor(settings, name), study, digest, consortium.ledger)
            console.print(f"  {name}: approved")
        except NotApproved:
            console.print(f"  {name}: [bold]not approved[/bold]")
            _print_changes(approval.last_consent(_actor(settings, name), study, consortium.ledger), read, consortium)
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
    before = approval.last_consent(owner, study, consortium.ledger)
    signed = approval.approve(owner, read, consortium, digest)
    typer.echo(f"{owner.name} approved {study} with digest {signed}")
    _print_changes(before, read, consortium)
    _publish(settings, owner, read)


@studies.command()
def withdraw(study: StudyName, name: OwnActor = None, digest: Expected = None) -> None:
    """Take back consent to the study's present digest: its worker is absent from the next step on.

    Publishes the signed withdrawal.
    """
    owner, read, consortium, settings = _owner(study, name)
    signed = approval.withdraw(owner, read, consortium, digest)
    typer.echo(f"{owner.name} withdrew its consent to {study} with digest {signed}")
    _publish(settings, owner, read)


def _owner(study: str, name: str | None) -> tuple[Identity, Study, Consortium, Settings]:
    settings = Settings.load()
    read = Study.load(settings.studies / f"{study}.yaml")
    site = Site.load(settings)
    if name is None and site is not None:
        name = site.name
    if name not in (*read.hospitals, *read.nodes):
        raise Misconfigured(f"--as: got {name or 'nobody'}, want one of {', '.join((*read.hospitals, *read.nodes))}")
    return _actor(settings, name), read, Consortium.load(settings.consortium), settings


def _print_changes(before: Decision | None, study: Study, consortium: Consortium) -> None:
    """What differs from the version that an owner approved last."""
    if before is None or before.terms is None:
        return
    for change in study_diff.changes(before.terms, study.terms(consortium)):
        old, new = (value if value is not None else study_diff.NOTHING for value in (change.before, change.after))
        typer.echo(f"    changed: {change.label}: {_short(old)} -> {_short(new)}")


def _short(value: str) -> str:
    """A digest by its beginning, everything else whole."""
    return value[:12] if len(value) == 64 and set(value) <= set("0123456789abcdef") else value


def _publish(settings: Settings, owner: Identity, study: Study) -> None:
    if trouble := consent_log.publish_or_say(settings, owner, study):
        sys.stderr.write(f"wardround: not published yet, and valid all the same: {trouble}\n")


def _actor(settings: Settings, name: str) -> Identity:
    home = settings.hospital(name) if settings.hospital(name).exists() else settings.node(name)
    return Identity.load(home)
