"""`wardround rounds`, `show` and `audit`: what the ledger and the store say about rounds, without any actor's key."""

from __future__ import annotations

import json
import time
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from pipeline.audit.audit_round import AuditReport, Outcome
from pipeline.audit.ends import End
from pipeline.cli import sweep
from pipeline.cli.arguments import ROUND, JsonOption, RoundNumber
from pipeline.cli.measures import print_measures, print_subgroups
from pipeline.domain import RoundId, RoundStatus, Verdict
from pipeline.report.render import ENDS, REASONS, TRUST
from pipeline.report.round_view import RoundView
from pipeline.site.settings import Settings
from pipeline.views.observer import Observer

STYLES = {Verdict.ACCEPTED: "green", Verdict.REJECTED: "red", Verdict.ABSENT: "yellow"}
_SIGNS = {Outcome.PASSED: "[green]✓[/green]", Outcome.FAILED: "[red]✗[/red]", Outcome.NOT_CHECKED: "[yellow]–[/yellow]"}

_console = Console(highlight=False, soft_wrap=True)


def rounds(json_: JsonOption = False) -> None:
    """List every round of the ledger, oldest first."""
    listed = Observer.open(Settings.load()).summaries()
    if json_:
        typer.echo(json.dumps([item.to_json() for item in listed], indent=2))
        return
    # Fits the 80 columns of a plain terminal or a log.
    table = Table(
        "round", "study", "status", "accepted", "rejected", "absent", "accuracy", "model", box=SIMPLE_HEAD, padding=0
    )
    for item in listed:
        verdicts = list(item.verdicts.values())
        table.add_row(
            str(item.round),
            item.study or "",
            item.status.value,
            *(str(verdicts.count(verdict)) if verdicts else "" for verdict in Verdict),
            "" if item.accuracy is None else f"{item.accuracy:.1%}",
            (item.model_sha256 or "")[:8],
        )
    _console.print(table)
    for item in listed:
        if item.trouble is not None:
            _console.print(f"[red]Round {item.round} does not hold:[/red] {escape(item.trouble)}")


def show(round_id: RoundNumber, json_: JsonOption = False) -> None:
    """Show one round: who took part, what was decided, where it stands on the chain."""
    view = Observer.open(Settings.load()).view(RoundId(round_id))
    if json_:
        typer.echo(json.dumps(view.to_json(), indent=2))
    else:
        print_round(view, _console)


def audit(
    round_id: Annotated[int | None, ROUND] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Audit every round of the ledger, statements read from each round's pack.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Check one round, or all, against the ledger and what is stored.

    Exit code 1 naming the first thing that does not fit.
    """
    if (round_id is None) is not all_:
        raise typer.BadParameter("want the number of a round, or --all")
    if round_id is None:
        _audit_all(json_)
        return
    report = Observer.open(Settings.load()).audit(RoundId(round_id))
    if json_:
        typer.echo(json.dumps(report.to_json(), indent=2))
    else:
        print_audit(report, Console(highlight=False), f"Audit of round {report.round}: {report.status}")
    raise typer.Exit(0 if report.passed else 1)


def print_audit(report: AuditReport, console: Console, title: str) -> None:
    """Print every check and the first thing that does not fit."""
    table = Table("", "check", "what was found", title=title, title_justify="left")
    for check in report.checks:
        table.add_row(_SIGNS[check.outcome], check.name, escape(check.detail))
    console.print(table)
    print_findings(report)
    if report.first_problem is None:
        _console.print(f"[green]Round {report.round} holds:[/green] {len(report.checks)} checks passed.")
    else:
        _console.print(f"[red]FIRST PROBLEM:[/red] {escape(report.first_problem)}")


def print_findings(report: AuditReport) -> None:
    """Print what spoils nothing and should be known."""
    for finding in report.findings:
        _console.print(f"[yellow]Round {report.round}, finding:[/yellow] {escape(finding)}")


def _audit_all(json_: bool) -> None:
    started = time.monotonic()
    with Progress(console=Console(stderr=True), transient=True, disable=json_) as progress:
        task = progress.add_task("rounds")
        reports = []
        for report, total in sweep.audit_all(Settings.load()):
            reports.append(report)
            progress.update(task, total=total, completed=len(reports))
    refused = [report for report in reports if not report.passed]
    if json_:
        content = {
            "rounds": len(reports),
            "passed": not refused,
            "failed": [report.to_json() for report in refused],
        } | {"findings": [finding for report in reports for finding in report.findings]}
        typer.echo(json.dumps(content, indent=2))
    else:
        for report in reports:
            print_findings(report)
        for report in refused:
            _console.print(
                f"[red]Round {report.round} ({report.status}):[/red] {escape(report.first_problem or 'not checked')}"
            )
        checks = sum(len(report.checks) for report in reports)
        held = f"{len(reports) - len(refused)} of {len(reports)} rounds hold"
        _console.print(
            f"[{'red' if refused else 'green'}]{held}[/]: {checks} checks in {time.monotonic() - started:.1f} s."
        )
    raise typer.Exit(bool(refused))


def _print_end(end: End, console: Console) -> None:
    """Why a round was aborted: what the nodes decided, and what each of them saw."""
    signed = f"; signed by {', '.join(end.signers)}" if end.signers else ""
    console.print(f"  ended        {escape(ENDS.get(end.reason, str(end.reason)))}{escape(signed)}")
    if end.blamed:
        console.print(f"  a strike for {escape(', '.join(end.blamed))}")
    for cause in end.causes:
        said = cause.saw or "said nothing about this round"
        waited = f"; waited for {', '.join(cause.waited_for)}" if cause.waited_for else ""
        console.print(f"  {escape(f'{cause.node:<12}')} {escape(said)}{escape(waited)}")
    for hospital, reasons in end.named.items():
        said = "; ".join(f"{REASONS.get(reason, reason)} ({', '.join(nodes)})" for reason, nodes in reasons.items())
        console.print(f"  {escape(f'{hospital:<12}')} {escape(said)}")


def print_round(view: RoundView, console: Console) -> None:
    """Print one round: a table of hospitals, then the evidence."""
    title = f"Round {view.round} of {view.study or 'a study unknown here'}: {view.status}"
    if view.record is None:
        console.print(f"[bold]{title}[/bold]")
        if view.status is RoundStatus.ABORTED:
            console.print(f"  it made no model; the one before stays: {view.previous_model}")
        if view.end is not None:
            _print_end(view.end, console)
    else:
        table = Table(
            "hospital", "records", "validation", "verdict", "local accuracy", title=title, title_justify="left"
        )
        for row in view.hospitals:
            reason = f" ({REASONS.get(row.reason, row.reason)})" if row.reason else ""
            validation = {True: "passed", False: "failed: " + "; ".join(row.failed), None: "none"}[row.validated]
            accuracy = "not confirmed" if row.accuracy is None else f"{row.accuracy:.1%} of {row.tested}"
            verdict = f"[{STYLES[row.verdict]}]{row.verdict}[/]{escape(reason)}"
            table.add_row(row.name, row.rows or "", escape(validation), verdict, accuracy)
        console.print(table)
        if view.accuracy is not None:
            console.print(f"  accuracy     {view.accuracy:.1%} of {view.tested} test records of all hospitals")
        if view.measures:
            print_measures(view.measures, console)
        for row in view.hospitals:
            if row.scores and (own := row.measures) and own.auc:
                console.print(f"  {escape(row.name)}: AUC {own.auc.decimal}, balanced accuracy {own.balanced_accuracy}")
        if view.subgroups:
            print_subgroups(view.subgroups, console)
        if view.measured_scale:
            console.print("  scale        measured by this round, which trained nothing")
        console.print(f"  model        {view.model}")
        if view.conclusion:
            console.print(f"  concluded    {escape(view.conclusion)}")
    if view.tx:
        console.print(
            f"  transaction  {view.tx}, block {view.block}{', development chain' if view.development else ''}"
        )
    if view.record is not None:
        signed = f"{len(view.signers)} of {view.nodes} nodes ({', '.join(view.signers)})"
        console.print(f"  signatures   {signed}; {view.threshold} are needed")
        console.print(
            f"  engine       {view.record.engine}, {view.record.protocol}. {TRUST.get(view.record.protocol, '')}"
        )
    if view.seconds:
        console.print("  seconds      " + ", ".join(f"{stage} {value:.1f}" for stage, value in view.seconds.items()))
