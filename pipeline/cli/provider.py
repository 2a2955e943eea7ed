"""`wardround provider`: the service provider's role goes to another key, of this machine or of another one."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.governance import hand_over as handing_over
from pipeline.governance.enrolment import signing_address

provider = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Hand the service provider's role over to another key, between rounds.",
)


@provider.command()
def prepare() -> None:
    """Make the key that is to take the role, on the machine that is to have it."""
    typer.echo(
        f"{handing_over.prepare()}: tell the provider, also by another way, who gives `wardround provider hand-over`"
    )


@provider.command()
def hand_over(
    to: Annotated[str, typer.Option("--to", metavar="ADDRESS", help="What `prepare` printed, 0x...")],
) -> None:
    """Name the key that may take the role, as the present provider; naming another one takes it back."""
    successor = signing_address(to)
    done = handing_over.hand_over(successor)
    typer.echo(
        f"{successor} {'may' if done else 'was named before and may'} take the role by `wardround provider accept`;"
        " until then nothing changes"
    )


@provider.command()
def accept() -> None:
    """Take the role with the key that the provider named.

    Given again, it ends what was broken off.
    """
    typer.echo(
        f"{handing_over.accept()} is the service provider; consortium.yaml and all consents stay, since no study's"
        " digest holds the provider's key"
    )
    typer.echo("where store or Airflow move to another address too, every member's installation.yaml names them anew")
