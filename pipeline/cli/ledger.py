"""`wardround ledger`: transactions that the chain has not mined, and what is done about them."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from pipeline.cli.arguments import OwnActor
from pipeline.governance import transactions
from pipeline.site.settings import Settings

ledger = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="See what waits for the chain, and replace it or give it up.",
)

_Label = Annotated[str, typer.Argument(metavar="LABEL", help="As `waiting` lists it.")]
_Price = Annotated[
    int | None,
    typer.Option(
        "--gas-price",
        metavar="WEI",
        min=0,
        max=10**18,
        help="For a unit of gas; by default what the chain asks, then a little more.",
    ),
]


@ledger.command()
def waiting() -> None:
    """Offer the chain again what it has not mined, and list what still waits; exit code 1 when anything does."""
    left = transactions.still_waiting(Settings.load())
    for one in left:
        sent = one.transaction
        minutes = (time.time() - sent.since) / 60
        how = "given up" if sent.given_up else sent.name
        typer.echo(
            f"{sent.label}  {one.member}  {how}, number {sent.nonce}, for {minutes:.0f} min, signature {sent.signed}"
            f", at {sent.price} wei"
        )
    if not left:
        typer.echo("nothing waits")
        return
    typer.echo(
        "A chain that stands still mines them when it goes on. One that goes on without them wants another price"
        " (`wardround ledger replace LABEL`), or never takes the call (`wardround ledger give-up LABEL`)."
    )
    raise typer.Exit(1)


@ledger.command()
def replace(label: _Label, name: OwnActor = None, gas_price: _Price = None) -> None:
    """Sign the same call under the same number again, at a higher price.

    One of the two is mined, never both.
    """
    price = transactions.replace(label, name, gas_price, Settings.load())
    typer.echo(f"{label}: sent again at {price} wei; `wardround ledger waiting` says when it is mined")


@ledger.command("give-up")
def give_up(label: _Label, name: OwnActor = None, gas_price: _Price = None) -> None:
    """Send nothing in its place, so that later transactions of this member go on.

    If the chain mines the former one yet, that one counts. Else the step that sent it may be run again.
    """
    price = transactions.give_up(label, name, gas_price, Settings.load())
    typer.echo(
        f"{label}: nothing was sent in its place, at {price} wei; `wardround ledger waiting` says when it is mined"
    )
