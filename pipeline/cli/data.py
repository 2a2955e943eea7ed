"""`wardround data`: a hospital's own records, on its own machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from pipeline.datasets.records import records_folder
from pipeline.errors import Misconfigured
from pipeline.site.identity import Identity
from pipeline.site.settings import Settings
from pipeline.study.study import Study

data = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Check a hospital's own records.")

_console = Console(highlight=False, soft_wrap=True)


@data.command()
def check(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", exists=True, help="Folder or file of records, as the hospital keeps them.")
    ],
    study: Annotated[str, typer.Option(metavar="STUDY", help="Name of a file in studies/, without .yaml.")],
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Learn whether records would pass a study's data contract, and why not; nothing is uploaded.

    Exit code 1 when they would not.
    """
    from pipeline.ingest import kept_scale
    from pipeline.ingest.explain import inspect

    settings = Settings.load()
    read = Study.load(settings.studies / f"{study}.yaml")
    inspection = inspect(path, read, kept_scale.kept(map(settings.hospital, read.hospitals), read))
    if json_:
        typer.echo(
            json.dumps(
                {
                    "passed": inspection.passed,
                    "rows": inspection.rows,
                    "failures": dict(inspection.failures),
                    "notes": list(inspection.notes),
                }
            )
        )
    else:
        for sentence in inspection.failures.values():
            _console.print(f"[red]✗[/red] {escape(sentence)}")
        for note in inspection.notes:
            _console.print(f"[yellow]–[/yellow] {escape(note)}")
        held = inspection.expectations - len(inspection.failures)
        verdict = "[green]would pass[/green]" if inspection.passed else "[red]would not pass[/red]"
        _console.print(
            f"{inspection.rows} records {verdict}: {held} of {inspection.expectations} expectations of {study} hold."
        )
    raise typer.Exit(0 if inspection.passed else 1)


@data.command()
def freeze(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Name of a file in studies/, without .yaml.")],
    hospital: Annotated[str, typer.Option("--as", metavar="HOSPITAL", help="The hospital that you are.")],
) -> None:
    """Ask your own database by your own query, and keep what it returns, as each round does before it trains."""
    from pipeline.ingest.freeze import freeze as freeze_records

    read = _named(study, hospital)
    home = Settings.load().hospital(hospital)
    frozen = freeze_records(home, read.source)
    if frozen is None:
        wanted = (read.table and read.table.query) or "a study whose table has `query`, and its file"
        raise Misconfigured(f"{study}: got no query, want {wanted} in {records_folder(home, read.dataset)}")
    rows = "1 row" if frozen.rows == 1 else f"{frozen.rows} rows"
    typer.echo(f"{rows} of {frozen.query.name} kept in {frozen.file}")


@data.command()
def features(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Name of a file in studies/, without .yaml.")],
    hospital: Annotated[str, typer.Option("--as", metavar="HOSPITAL", help="The hospital that you are.")],
) -> None:
    """Make your pictures' features by the study's backbone, and keep them, as each round does before it trains."""
    from pipeline.consent import backbone_file
    from pipeline.ingest.features import keep_features

    read = _named(study, hospital)
    if read.backbone is None:
        raise Misconfigured(f"{study}: got a study without `backbone`, want one with it: nothing is to be made")
    settings = Settings.load()
    owner = Identity.load(settings.hospital(hospital))
    backbone_file.obtain(owner, read, settings)
    backbone_file.require(owner, read)
    kept = keep_features(owner.home, read.source)
    if kept is not None:
        typer.echo(f"features of {kept.pictures} pictures kept in {kept.file}, {kept.made} of them made now")
        for note in kept.notes:
            typer.echo(note)


@data.command()
def docs(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Name of a file in studies/, without .yaml.")],
    hospital: Annotated[str, typer.Option("--as", metavar="HOSPITAL", help="The hospital that you are.")],
    print_: Annotated[bool, typer.Option("--print", help="Only print where the page lies.")] = False,
) -> None:
    """Open the newest full data docs of your own records in a browser; they quote records, and stay on this machine."""
    _named(study, hospital)
    folder = Settings.load().hospital(hospital) / "docs"
    newest = max(folder.glob(f"{study}-*.html"), key=lambda file: file.stat().st_mtime_ns, default=None)
    if newest is None:
        raise Misconfigured(
            f"{folder}: got no data docs of {study}; they are written when a round validates the records"
        )
    typer.echo(newest)
    if not print_:
        typer.launch(newest.as_uri())


def _named(study: str, hospital: str) -> Study:
    """The study, if it names the hospital."""
    read = Study.load(Settings.load().studies / f"{study}.yaml")
    if hospital not in read.hospitals:
        raise Misconfigured(f"--as: got {hospital!r}, want one of {', '.join(read.hospitals)}")
    return read
