"""`wardround enrol`: how a hospital and its people come in, at the hospital and at the service provider."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.domain import HospitalName
from pipeline.roles import enrolment
from pipeline.settings import Settings

enrol = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Bring a hospital and its people in.")

Hospital = Annotated[str, typer.Option("--as", metavar="HOSPITAL", help="The hospital whose key lies on this machine.")]
HospitalAddress = Annotated[str, typer.Argument(metavar="ADDRESS", help="The hospital's signing address, 0x...")]


@enrol.command()
def vouch(email: Annotated[str, typer.Argument(metavar="EMAIL", help="The person's e-mail address.")], name: Hospital) -> None:
    """Sign, with the hospital's key, that a person is one of its own; the console's registration asks for it."""
    address, signature = enrolment.vouch(HospitalName(name), email, Settings.load())
    typer.echo(f"signing address: {address}\nsignature: {signature}")


@enrol.command()
def register(name: Hospital) -> None:
    """Put the hospital's account on the ledger, where it waits for the service provider."""
    typer.echo(f"{name}: {enrolment.register(HospitalName(name), Settings.load())} is on the ledger and waits for the service provider")


@enrol.command()
def authorise(address: HospitalAddress) -> None:
    """Let a registered hospital take part, as the service provider."""
    done = enrolment.authorise(enrolment.signing_address(address), Settings.load())
    typer.echo(f"{address} {'may take part now' if done else 'could take part already'}")


@enrol.command()
def revoke(address: HospitalAddress) -> None:
    """Take a hospital out of all later rounds, as the service provider."""
    done = enrolment.revoke(enrolment.signing_address(address), Settings.load())
    typer.echo(f"{address} {'takes part in no later round' if done else 'was not authorised'}")
