"""`wardround notices`: where this site sends word of what happened; addresses are secrets, and never printed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.errors import Misconfigured, Unavailable
from pipeline.host.secret import Secret
from pipeline.site.settings import Settings
from pipeline.watch import notices as notice_addresses
from pipeline.watch.notices import Notice

notices = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Send word of what happened: by mail, chat or webhook, to this site's own addresses.",
)


@notices.command()
def add(
    address_file: Annotated[
        Path | None,
        typer.Option(
            "--address-file",
            metavar="PATH",
            exists=True,
            dir_okay=False,
            help="Its first line is the address; only you may read it. Without one the terminal asks.",
        ),
    ] = None,
) -> None:
    """Take an address, as apprise writes it: mailtos://USER:PASSWORD@HOST, for example."""
    settings = Settings.load()
    kind = notice_addresses.add(_address(address_file), settings)
    typer.echo(f"{kind}: taken; `wardround notices test` tries it, and `wardround up` starts the watch")


@notices.command()
def show() -> None:
    """List the kinds of this site's addresses, by number."""
    present = notice_addresses.addresses(Settings.load())
    for number, address in enumerate(present, 1):
        typer.echo(f"{number}  {notice_addresses.kind_of(address)}")
    if not present:
        typer.echo("none: nobody is told anything")


@notices.command()
def remove(
    number: Annotated[int, typer.Argument(metavar="NUMBER", min=1, max=1000, help="As `show` lists it.")],
) -> None:
    """Forget an address."""
    typer.echo(f"{notice_addresses.remove(number, Settings.load())}: forgotten")


@notices.command()
def test() -> None:
    """Send a notice now; exit code 2 unless every address takes it."""
    present = notice_addresses.addresses(Settings.load())
    if not present:
        raise Misconfigured("got no address, want one: `wardround notices add`")
    refused = notice_addresses.send(Notice("a test", "This is how a notice comes."), present)
    if refused:
        raise Unavailable(
            f"{', '.join(map(str, refused))} of {len(present)}: not taken; is the address right, and does this machine"
            " reach it?"
        )
    typer.echo(f"sent to {len(present)}")


def _address(file: Path | None) -> Secret:
    if file is not None:
        return Secret(Secret.read(file).reveal().partition(b"\n")[0].strip())
    if not sys.stdin.isatty():
        raise Misconfigured("address: got no terminal to ask at, want --address-file PATH")
    return Secret(str(typer.prompt("Address", hide_input=True)).strip().encode())
