"""Arguments that commands of several modules take."""

from __future__ import annotations

from typing import Annotated

import typer

LAST_NUMBER = 2**64 - 1
"""The ledger's numbers have 64 bits."""

ROUND = typer.Argument(metavar="ROUND", min=1, max=LAST_NUMBER, help="Number of the round on the ledger.")
RoundNumber = Annotated[int, ROUND]
BeforeRound = Annotated[
    int,
    typer.Option(
        "--before", metavar="ROUND", min=1, max=LAST_NUMBER, help="The version starts from the model that it had."
    ),
]
StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="Name of a file in studies/, without .yaml.")]
Actor = Annotated[str, typer.Option("--as", metavar="NAME", help="The hospital or node whose owner you are.")]
OwnActor = Annotated[
    str | None,
    typer.Option("--as", metavar="NAME", help="The hospital or node whose owner you are; by default this site's own."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
