"""`wardround site`: this machine as one member's site, from its keys to the provider's invitation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

from pipeline.cli.files import read_file
from pipeline.errors import Misconfigured
from pipeline.joining.card import Card, host_port
from pipeline.joining.invitation import Invitation
from pipeline.joining.join import examine
from pipeline.joining.join import join as join_by
from pipeline.site.settings import Settings
from pipeline.site.site import PROVIDER, Site, SiteRole

site = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Make this machine one member's site, and bring sites together.",
)

_console = Console(highlight=False, soft_wrap=True)


def _host(text: str) -> str:
    try:
        return host_port(text)
    except ValueError as error:
        raise typer.BadParameter(f"got {text!r}, want {error}") from error


@site.command()
def init(
    hospital: Annotated[str | None, typer.Option(metavar="NAME", help="A hospital's site.")] = None,
    node: Annotated[str | None, typer.Option(metavar="NAME", help="A node's site.")] = None,
    auditor: Annotated[str | None, typer.Option(metavar="NAME", help="An auditor's site.")] = None,
    provider: Annotated[bool, typer.Option("--provider", help="The service provider's site.")] = False,
    host: Annotated[
        str | None,
        typer.Option(
            parser=_host,
            metavar="HOST:PORT",
            help="Where other nodes reach a node, from this port on; or all sites the provider.",
        ),
    ] = None,
) -> None:
    """Make this machine's keys, and the card that goes to the provider.

    Given again, it keeps what is there.
    """
    from pipeline.setup import sites

    names = {SiteRole.HOSPITAL: hospital, SiteRole.NODE: node, SiteRole.AUDITOR: auditor}
    chosen = [(role, name) for role, name in names.items() if name is not None]
    chosen += [(SiteRole.PROVIDER, PROVIDER)] if provider else []
    if len(chosen) != 1:
        raise Misconfigured("wardround site init: want one of --hospital NAME, --node NAME, --auditor NAME, --provider")
    settings = Settings.load()
    ((role, name),) = chosen
    card = sites.init(Site.named(role, name), host, settings)
    _console.print(f"{settings.card}: the card of {card.site.queue}; its words: {card.words}")
    if role is SiteRole.PROVIDER:
        _console.print("next: `wardround up`, then `wardround site invite CARD...` with the others' cards")
    else:
        _console.print("next: hand the card to the provider, and read the words out by telephone")


@site.command()
def invite(
    cards: Annotated[
        list[Path] | None,
        typer.Argument(metavar="CARD...", exists=True, dir_okay=False, help="New cards; none to invite all anew."),
    ] = None,
    renew: Annotated[
        bool, typer.Option("--renew", help="Give all sites another account at the store and another token.")
    ] = False,
) -> None:
    """Take sites' cards, as the provider, and write an invitation for every member."""
    from pipeline.joining.roster import known_cards
    from pipeline.setup import sites

    given = [(str(path), read_file(path, Card.LARGEST)) for path in cards or ()]
    settings = Settings.load()
    written = sites.invite(given, settings, renew=renew)
    _print_cards(list(known_cards(settings).values()))
    for path in written:
        typer.echo(f"{path}: for {path.stem} alone")
    if missing := sites.without_card(settings):
        typer.echo(f"studies name {', '.join(missing)}, whose cards are not here yet: invite anew when they are")
    typer.echo("compare the new sites' words by telephone; each site then gives `wardround site join FILE`")


@site.command()
def join(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="The invitation.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: the words were compared before.")] = False,
    fingerprint: Annotated[
        str | None, typer.Option(metavar="WORDS", help="The provider's words, as it told them; then nothing is asked.")
    ] = None,
    changed: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A member whose changed words you compared by telephone; give it for each."),
    ] = None,
) -> None:
    """Check the provider's invitation, show everybody's words, and take it when they are right.

    Given again with a newer invitation, it takes what changed.
    """
    settings = Settings.load()
    joining = examine(read_file(file, Invitation.LARGEST), str(file), settings)
    joining.refuse_unless(changed or (), fingerprint)
    _console.print(f"{file}: for {joining.site.queue}, from the provider at {joining.invitation.front}")
    _print_cards(joining.invitation.everybody)
    if not (yes or fingerprint is not None):
        typer.confirm("Do these words agree with what the provider and the members say by telephone?", abort=True)
    join_by(joining, settings)
    studies = ", ".join(joining.invitation.studies) or "none yet"
    _console.print(f"joined as {joining.site.queue}; studies: {studies}; next: `wardround up`")


@site.command()
def revoke(queue: Annotated[str, typer.Argument(metavar="SITE", help="As `show` names it: hospital-wren.")]) -> None:
    """Take a site's token and its account at the store away, as the provider; nobody else's."""
    from pipeline.setup import sites

    settings = Settings.load()
    revoked = sites.revoke(queue, settings)
    typer.echo(f"{queue}: takes no work and reaches no store any more")
    if revoked.role is SiteRole.HOSPITAL:
        typer.echo("on the ledger it stays authorised, until `wardround enrol revoke ADDRESS` takes that too")


@site.command()
def show(
    file: Annotated[
        Path | None, typer.Argument(metavar="CARD", exists=True, dir_okay=False, help="By default this site's own.")
    ] = None,
) -> None:
    """Check a card, and show whose it is and its words."""
    path = file or Settings.load().card
    _print_cards([Card.read(read_file(path, Card.LARGEST), str(path))])


def _print_cards(cards: list[Card]) -> None:
    table = Table(
        "site",
        Column("address", overflow="fold"),
        "answers at",
        Column("words", overflow="fold"),
        box=SIMPLE_HEAD,
        padding=0,
    )
    for card in cards:
        table.add_row(card.site.queue, card.address, card.host or "", card.words)
    _console.print(table)
