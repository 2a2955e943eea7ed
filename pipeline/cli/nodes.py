"""`wardround nodes`: a study goes on with other nodes, by a majority of its present ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.arguments import StudyName
from pipeline.cli.files import Files, Out, read_form, write_file
from pipeline.domain import NodeName
from pipeline.governance.nodes import SignedNodes, send_nodes, sign_nodes

nodes = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, help="Give a study other nodes, by a majority of its nodes."
)

Node = Annotated[str, typer.Option("--as", metavar="NODE", help="The node whose owner you are.")]


@nodes.command()
def sign(study: StudyName, name: Node, out: Out) -> None:
    """Sign the nodes that the study's file names now, as the owner of one that the ledger has, into a file."""
    signed = sign_nodes(study, NodeName(name))
    write_file(out, signed.model_dump_json(indent=1).encode())
    typer.echo(
        f"{out}: {name} agrees that study {study} goes on with {', '.join(signed.nodes)}; `wardround nodes send` takes"
        " a majority's files"
    )


@nodes.command()
def send(files: Files, name: Node) -> None:
    """Give a study the nodes that a majority of its present ones signed, on the ledger.

    Given again, it says so again.
    """
    study = send_nodes([read_form(SignedNodes, file) for file in files], NodeName(name))
    typer.echo(
        f"study {study}: the ledger has the next nodes; hand consortium.yaml and {Path('studies') / study}.yaml to"
        " everybody, and let all owners"
    )
    typer.echo(f"approve the study again (`wardround study approve {study} --as NAME`): its digest holds its nodes")
