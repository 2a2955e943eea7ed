"""The `wardround` command: one line per outcome, one clear message per error."""

from __future__ import annotations

import sys

import typer

from pipeline.cli import audit, decisions, demo, proof, runs, services
from pipeline.cli.data import data
from pipeline.cli.engine import engine
from pipeline.cli.enrol import enrol
from pipeline.cli.keys import key
from pipeline.cli.models import models, predict
from pipeline.cli.mpc import mpc
from pipeline.cli.nodes import nodes
from pipeline.cli.provider import provider
from pipeline.cli.studies import studies
from pipeline.errors import WardroundError

commands = typer.Typer(
    name="wardround",
    help="Verified federated-learning rounds for hospital consortia.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

for command in (
    services.up,
    services.down,
    services.status,
    services.doctor,
    runs.run,
    demo.demo,
    audit.rounds,
    audit.show,
    audit.audit,
    predict,
    proof.report,
    proof.proof,
    proof.verify,
    decisions.commit_directly,
):
    commands.command()(command)
commands.add_typer(studies, name="study")
commands.add_typer(mpc, name="mpc")
commands.add_typer(engine, name="engine")
commands.add_typer(data, name="data")
commands.add_typer(models, name="model")
commands.add_typer(decisions.release, name="release")
commands.add_typer(enrol, name="enrol")
commands.add_typer(key, name="key")
commands.add_typer(nodes, name="nodes")
commands.add_typer(provider, name="provider")


def app() -> None:
    """Entry point: a known error is one message on stderr and exit code 2, never a traceback."""
    try:
        commands()
    except (WardroundError, OSError) as error:  # of the system's: no right to a file, no room on the disk
        sys.stderr.write(f"wardround: {error}\n")
        raise SystemExit(2) from None
