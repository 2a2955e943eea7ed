"""`wardround commit-directly` and `release`.

What a hospital or the nodes put on the ledger past the service provider.
"""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.arguments import Actor, RoundNumber, StudyName
from pipeline.cli.files import Files, Out, read_form, write_file
from pipeline.domain import HospitalName, NodeName, RoundId
from pipeline.governance import member_actions
from pipeline.governance.member_actions import SignedRelease

release = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, help="Release a hospital from quarantine, by a majority."
)

Hospital = Annotated[str, typer.Argument(metavar="HOSPITAL", help="The hospital in quarantine.")]


def commit_directly(study: StudyName, round_id: RoundNumber, name: Actor) -> None:
    """Put a hospital's manifest on the ledger itself, when the service provider leaves it out."""
    manifest = member_actions.commit_directly(study, RoundId(round_id), HospitalName(name))
    typer.echo(f"{name}: manifest {manifest} is on the ledger; no set without it can be committed in round {round_id}")


@release.command()
def sign(study: StudyName, hospital: Hospital, name: Actor, out: Out) -> None:
    """Sign a release as the owner of a node, into a file to hand on."""
    signed = member_actions.sign_release(study, HospitalName(hospital), NodeName(name))
    write_file(out, signed.model_dump_json(indent=1).encode())
    typer.echo(f"{out}: {name} releases {hospital} in study {study}; `wardround release send` takes a majority's files")


@release.command()
def send(files: Files) -> None:
    """Put a release that a majority of the nodes signed on the ledger; it counts from the next round on."""
    hospital = member_actions.send_release([read_form(SignedRelease, file) for file in files])
    typer.echo(f"{hospital} takes part again from the next round on")
