"""`wardround nodes`: a study goes on with other nodes, by a majority of its present ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.arguments import StudyName
from pipeline.cli.files import Files, Out, read_form, write_file
from pipeline.domain import NodeName
from pipeline.governance.nodes import SignedNodes, replace_node, send_nodes, sign_nodes

nodes = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, help="Give a study other nodes, by a majority of its nodes."
)

Node = Annotated[str, typer.Option("--as", metavar="NODE", help="The node whose owner you are.")]
Leaving = Annotated[str, typer.Argument(metavar="LEAVES", help="The node that leaves.")]
Joining = Annotated[str, typer.Argument(metavar="JOINS", help="The node that takes its place; consortium.yaml has it.")]


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
def replace(study: StudyName, leaving: Leaving, joining: Joining, name: Node, out: Out) -> None:
    """Name a node in the place of one that leaves in this machine's study file, and sign that, into a file.

    Each owner of a majority gives it, also the one that leaves; `send` then takes their files.
    """
    replace_node(study, NodeName(leaving), NodeName(joining))
    sign(study, name, out)


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
