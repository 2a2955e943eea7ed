"""`wardround enrol`: how a hospital and its people come in, at the hospital and at the service provider."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.domain import HospitalName
from pipeline.governance import enrolment
from pipeline.host.files import locked
from pipeline.site.identity import STORE_CREDENTIALS
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.site.site import Site, SiteRole

enrol = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Bring a hospital and its people in.")

Hospital = Annotated[str, typer.Option("--as", metavar="HOSPITAL", help="The hospital whose key lies on this machine.")]
HospitalArgument = Annotated[str, typer.Argument(metavar="HOSPITAL", help="The hospital's name.")]
HospitalAddress = Annotated[str, typer.Argument(metavar="ADDRESS", help="The hospital's signing address, 0x...")]


@enrol.command()
def prepare(
    name: Annotated[str, typer.Option("--as", metavar="HOSPITAL", help="The name that a new hospital is to have.")],
) -> None:
    """Make a new hospital's folder with a key of its own, on its own machine."""
    settings = Settings.load()
    address = enrolment.prepare(HospitalName(name), settings)
    typer.echo(f"{name} signs as {address}; its key lies in {settings.hospital(name)} and never leaves this machine")


@enrol.command()
def vouch(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="The person's e-mail address.")], name: Hospital
) -> None:
    """Sign, with the hospital's key, that a person is one of its own; the console's registration asks for it."""
    address, signature = enrolment.vouch(HospitalName(name), email, Settings.load())
    typer.echo(f"signing address: {address}\nsignature: {signature}")


@enrol.command()
def register(name: Hospital) -> None:
    """Put the hospital's account on the ledger, where it waits for the service provider."""
    typer.echo(
        f"{name}: {enrolment.register(HospitalName(name), Settings.load())} is on the ledger and waits for the service"
        " provider"
    )


@enrol.command()
def authorise(address: HospitalAddress) -> None:
    """Let a registered hospital take part, as the service provider."""
    done = enrolment.authorise(enrolment.signing_address(address), Settings.load())
    typer.echo(
        f"{address} {'may take part now' if done else 'could take part already'}; `wardround enrol admit` lets studies"
        " name it"
    )


@enrol.command()
def admit(name: HospitalArgument, address: HospitalAddress) -> None:
    """Name an authorised hospital in this machine's members' file, so that studies can.

    Every owner does, or copies the file.
    """
    done = enrolment.admit(HospitalName(name), enrolment.signing_address(address), Settings.load())
    typer.echo(f"{name} {'is a member now' if done else 'was a member already'}; studies can name it")


@enrol.command()
def store(
    name: HospitalArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write, for the hospital alone.")],
) -> None:
    """Make a hospital on another machine its account at the object store, as the store's operator.

    Given again, with another secret.
    """
    from pipeline.setup.store import account_elsewhere

    settings = Settings.load()
    site = Site(role=SiteRole.HOSPITAL, name=enrolment.hospital_name(name))
    with locked(settings.up_lock):
        made = account_elsewhere(settings, Installation.load(settings.installation), site)
    made.save(out)
    typer.echo(f"{out}: hand it to {name} alone, which keeps it as {STORE_CREDENTIALS} in its folder")


@enrol.command()
def revoke(address: HospitalAddress) -> None:
    """Take a hospital out of all later rounds, as the service provider."""
    done = enrolment.revoke(enrolment.signing_address(address), Settings.load())
    typer.echo(f"{address} {'takes part in no later round' if done else 'was not authorised'}")
