"""`wardround up`, `down`, `status` and `doctor`: the services of this machine."""

from __future__ import annotations

import json
import time
from contextlib import nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from pipeline.cli.arguments import JsonOption
from pipeline.errors import Misconfigured, Unavailable
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.site.site import Site, SiteRole

if TYPE_CHECKING:
    from pipeline.airflow.heard import SiteHeard

_console = Console(highlight=False, soft_wrap=True)


def up(
    rpc: Annotated[
        str | None,
        typer.Option(
            help="JSON-RPC of the chain for a new installation's ledger; by default an embedded development chain."
        ),
    ] = None,
    foreground: Annotated[
        bool,
        typer.Option(
            "--foreground", help="Stay until SIGTERM, then stop the services: for a container or an init system."
        ),
    ] = False,
) -> None:
    """Set up what is missing and start the services of this machine, which are those of its site's role."""
    from pipeline.setup.foreground import in_order, stay

    settings = Settings.wanted()
    with in_order(settings) if foreground else nullcontext():
        _up(settings, rpc)
        if foreground:
            stay(settings)


def _up(settings: Settings, rpc: str | None) -> None:
    from pipeline.airflow import airflow
    from pipeline.services import services
    from pipeline.setup.up import up as bring_up

    installation = bring_up(settings, rpc)
    site = Site.load(settings)
    if site is None or site.role is SiteRole.PROVIDER:
        address = installation.airflow if site is None else services.public(settings)
        password = airflow.password_file(settings, airflow.PROVIDER)
        _console.print(f"Airflow  {address}  user [bold]{airflow.PROVIDER}[/bold], password in {password}")
    elif site.works:
        _console.print(f"the worker of {site.queue} asks {installation.airflow} for its steps")
    else:
        _console.print(f"nothing runs at an auditor's site: `wardround audit` reads {installation.store}")


def down() -> None:
    """Stop the services of this machine and wait until they are gone."""
    from pipeline.services.services import supervisor

    supervisor(Settings.load()).stop()


def status(json_: JsonOption = False) -> None:
    """Show which services run and whether they answer, and where engines and data lie; at the provider also every site.

    Exit code 1 unless all services answer.
    """
    from pipeline.governance.transactions import stuck
    from pipeline.services.status import report
    from pipeline.setup.folders import folder_settings

    settings = Settings.load()
    rows = report(settings)
    folders = folder_settings(settings) if Installation.is_made(settings.installation) else []
    sites = _sites(settings)
    waiting = stuck(settings, time.time())
    if json_:
        shown = {
            "services": rows,
            "folders": {folder.variable: folder.where for folder in folders},
            **({} if sites is None else {"sites": [asdict(one) for one in sites]}),
            "stuck": [asdict(one) for one in waiting],
        }
        typer.echo(json.dumps(shown, indent=2))
    else:
        table = Table("service", "process", "address", "health", box=SIMPLE_HEAD, padding=0)
        for row in rows:
            table.add_row(
                row["service"],
                row["process"],
                row["address"],
                "[green]healthy[/green]" if row["healthy"] else f"[red]{row['trouble']}[/red]",
            )
        _console.print(table)
        if folders:
            # A path that is cut off helps nobody.
            table = Table(
                "variable", Column("commands and workers go by", overflow="fold"), "", box=SIMPLE_HEAD, padding=0
            )
            for folder in folders:
                table.add_row(folder.variable, folder.where or "nowhere", folder.why)
            _console.print(table)
        if sites is not None:
            _console.print(_sites_table(sites, time.time()))
        if waiting:
            _console.print(f"[red]waiting for the chain: {len(waiting)}[/red]; `wardround ledger waiting` says what")
    raise typer.Exit(0 if all(row["healthy"] for row in rows) else 1)


def _sites(settings: Settings) -> list[SiteHeard] | None:
    """What the provider heard of every site; None elsewhere, and while its database does not answer."""
    from pipeline.airflow import heard

    site = Site.load(settings)
    if site is None or site.role is not SiteRole.PROVIDER or not settings.card.exists():
        return None
    try:
        return heard.all_sites(settings)
    except (Misconfigured, Unavailable):
        return None


def _sites_table(sites: list[SiteHeard], now: float) -> Table:
    table = Table("site", "worker", "last heard", "steps", "version", "engines", "clock", box=SIMPLE_HEAD, padding=0)
    for one in sites:
        clock = "" if one.clock is None else f"{one.clock:+.1f} s"
        state = f"[red]{escape(one.state)}[/red]" if one.silent(now) else escape(one.state)
        said = (escape(one.version or ""), escape(one.engine or ""))
        table.add_row(one.queue, state, one.last(now), str(one.jobs), *said, clock)
    return table


def doctor(
    store: Annotated[
        bool,
        typer.Option("--store", help="Instead, try what the deployed store promises, by this member's own account."),
    ] = False,
) -> None:
    """Name what this machine lacks and how to get it; exit code 1 when something needed is missing."""
    from pipeline.setup.doctor import examine, examine_store

    settings = Settings.load()
    findings = []
    for finding in examine_store(settings) if store else examine(settings):
        findings.append(finding)
        sign = "[green]✓[/green]" if finding.passed else ("[red]✗[/red]" if finding.needed else "[yellow]–[/yellow]")
        _console.print(f"{sign} {finding.what}: {finding.detail}")
    raise typer.Exit(0 if all(finding.passed or not finding.needed for finding in findings) else 1)
