"""`wardround key`: a member moves on to another signing key, a node by a majority's signatures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.arguments import Actor
from pipeline.cli.files import Files, Out, read_form, write_file
from pipeline.domain import HospitalName, NodeName
from pipeline.governance import keys
from pipeline.governance.keys import Request, Signatures, Succession

key = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Move a member on to another signing key, between rounds.",
)


@key.command()
def rotate(name: Actor) -> None:
    """Move a hospital on to a fresh key, on the ledger and on this machine.

    Given again, it ends what was broken off.
    """
    _say(keys.rotate_hospital_key(HospitalName(name)))


@key.command()
def request(name: Actor, out: Out) -> None:
    """Make a node's next key and write a request for the other owners to sign."""
    asked = keys.request_node_key(NodeName(name))
    write_file(out, asked.model_dump_json(indent=1).encode())
    typer.echo(
        f"{out}: {name} asks for {asked.next} in the place of {asked.previous}; tell the other owners both by another"
        " way too"
    )


@key.command()
def sign(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="What `request` wrote.")],
    name: Actor,
    out: Out,
) -> None:
    """Sign another node's request as the owner of a node, into a file to hand back."""
    signed = keys.sign_node_key(read_form(Request, file), NodeName(name))
    write_file(out, signed.model_dump_json(indent=1).encode())
    asked = signed.request
    studies = ", ".join(signed.signatures)
    typer.echo(f"{out}: {name} agrees that {asked.node} moves from {asked.previous} to {asked.next} in {studies}")


@key.command()
def send(files: Files) -> None:
    """Give the node its next key, on the ledger in every study and on this machine.

    Given again, it ends what was broken off.
    """
    _say(keys.send_node_key([read_form(Signatures, file) for file in files]))


def _say(done: Succession) -> None:
    typer.echo(
        f"{done.name}: {done.next} in the place of {done.previous}; hand consortium.yaml to everybody, and let all"
        " owners"
    )
    typer.echo(
        "approve their studies again (`wardround study approve STUDY --as NAME`): a study's digest holds its members'"
        " keys"
    )
