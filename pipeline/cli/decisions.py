"""`wardround commit-directly` and `release`.

What a hospital or the nodes put on the ledger past the service provider.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.audit import RoundNumber
from pipeline.cli.files import read_file, write_file
from pipeline.cli.studies import Actor, StudyName
from pipeline.domain import HospitalName, NodeName, RoundId
from pipeline.errors import EvidenceRejected
from pipeline.evidence.canonical import LARGEST_JSON, read_object
from pipeline.governance import member_actions

release = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, help="Release a hospital from quarantine, by a majority."
)

Hospital = Annotated[str, typer.Argument(metavar="HOSPITAL", help="The hospital in quarantine.")]


def commit_directly(study: StudyName, round_id: RoundNumber, name: Actor) -> None:
    """Put a hospital's manifest on the ledger itself, when the service provider leaves it out."""
    manifest = member_actions.commit_directly(study, RoundId(round_id), HospitalName(name))
    typer.echo(f"{name}: manifest {manifest} is on the ledger; no set without it can be committed in round {round_id}")


@release.command()
def sign(
    study: StudyName,
    hospital: Hospital,
    name: Actor,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")],
) -> None:
    """Sign a release as the owner of a node, into a file to hand on."""
    write_file(
        out, json.dumps(member_actions.sign_release(study, HospitalName(hospital), NodeName(name)), indent=1).encode()
    )
    typer.echo(f"{out}: {name} releases {hospital} in study {study}; `wardround release send` takes a majority's files")


@release.command()
def send(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", exists=True, dir_okay=False, help="Files of a majority.")
    ],
) -> None:
    """Put a release that a majority of the nodes signed on the ledger; it counts from the next round on."""
    signed = []
    for file in files:
        try:
            signed.append(read_object(read_file(file, LARGEST_JSON)))
        except EvidenceRejected as error:
            raise EvidenceRejected(f"{file}: {error}; want what `wardround release sign` wrote") from error
    typer.echo(f"{member_actions.send_release(signed)} takes part again from the next round on")
