"""The first stage of `dvc repro`: what the others need to run a recorded round again."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from pipeline.domain import RoundId
from pipeline.errors import Misconfigured
from pipeline.host import program
from pipeline.host.files import write_atomic
from pipeline.study_repository.replay_inputs import read_inputs


def main(
    records: Annotated[Path, typer.Option(help="study repository, where finished rounds are recorded")],
    study: Annotated[str, typer.Option(help="name of the study")],
    round_id: Annotated[int, typer.Option("--round", min=1, help="number of the round on the ledger")],
    out: Annotated[Path, typer.Option(help="folder to write, one file of arguments per later stage")],
) -> None:
    """Write the arguments with which each hospital trains again and the nodes verify again."""
    inputs = read_inputs(records, RoundId(round_id))
    if inputs.record.study != study:
        raise Misconfigured(
            f"round {round_id}: got a round of study {inputs.record.study}, want one of {study}; change params.yaml"
        )
    for hospital in inputs.record.inputs:
        write_atomic(out / f"{hospital}.args", _line(inputs.training(records, hospital)))
    write_atomic(out / "nodes.args", _line(inputs.verification(records)))


def _line(arguments: tuple[str, ...]) -> bytes:
    return (shlex.join(arguments) + "\n").encode()


if __name__ == "__main__":
    program.run(main)
