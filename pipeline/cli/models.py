"""`wardround model` and `wardround predict`: what a hospital does with models on its own machine.

Nothing is sent. And `model export` and `model verify`: a model that leaves, and where such a file comes from.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.audit.proof_bundle import LARGEST_BUNDLE
from pipeline.audit.round_evidence import RoundEvidence
from pipeline.cli.arguments import LAST_NUMBER, JsonOption
from pipeline.cli.files import read_file
from pipeline.cli.measures import print_measures, print_subgroups
from pipeline.cli.proof import checked
from pipeline.datasets import PredictionBatch, table_files
from pipeline.datasets import table as tables
from pipeline.datasets.records import readable
from pipeline.domain import HospitalName, RoundId
from pipeline.errors import EvidenceRejected, Misconfigured, Rejected
from pipeline.export import lineage
from pipeline.export.forms import FORMS
from pipeline.export.forms.base import FormName
from pipeline.export.taking_out import (
    BACKBONE,
    DESCRIBING,
    PROOF,
    check_beside,
    refuse_what_is_there,
    take_out,
    write_folder,
)
from pipeline.report.round_view import gather_proven
from pipeline.site.settings import Settings
from pipeline.study.study import Study
from pipeline.views.gain import RIVALS, TRAINED_ON, gain
from pipeline.views.model_card import WARNING, ModelCard
from pipeline.views.observer import Observer
from pipeline.views.precheck import check_model
from pipeline.views.prediction import Predictor

models = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Check and compare a hospital's own models; take a study's model out.",
)

StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="Name of a file in studies/, without .yaml.")]
Hospital = Annotated[
    str | None,
    typer.Option("--as", metavar="HOSPITAL", help="The hospital that you are; needed where there are several."),
]

_LARGEST_TEXT = 16 << 20
_STANDARD_INPUT = Path("-")
_SIGNS = {True: "[green]✓[/green]", False: "[red]✗[/red]", None: "[yellow]–[/yellow]"}
_console = Console(highlight=False, soft_wrap=True)


@models.callback()
def _group() -> None:
    pass


@models.command()
def check(
    study: StudyName,
    hospital: Hospital = None,
    model: Annotated[
        Path | None, typer.Option(exists=True, help="A safetensors file; without it, what would be trained now.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Learn whether a model would pass the rule, and why not, as far as your own records tell.

    Exit code 1 when it would not.
    """
    precheck = check_model(study, _hospital(Settings.load(), study, hospital), model)
    if json_:
        typer.echo(
            json.dumps(
                {
                    "round": precheck.round,
                    "passed": precheck.passed,
                    "findings": [vars(finding) for finding in precheck.findings],
                }
            )
        )
    else:
        for finding in precheck.findings:
            _console.print(f"{_SIGNS[finding.passed]} {escape(finding.sentence)}")
        verdict = (
            "[green]Nothing here speaks against it.[/green]" if precheck.passed else "[red]It would be rejected.[/red]"
        )
        _console.print(f"{verdict} Checked as in round {precheck.round}, on this machine; nothing was sent.")
    raise typer.Exit(0 if precheck.passed else 1)


@models.command()
def compare(
    study: StudyName,
    hospital: Hospital = None,
    pooled: Annotated[
        bool, typer.Option("--pooled", help="Also with one of all hospitals' records, where they lie on this machine.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Compare the current model with models of your own records alone, on your own test records. Nothing is sent."""
    settings = Settings.load()
    found = gain(study, _hospital(settings, study, hospital), settings, pooled=pooled)
    if json_:
        typer.echo(json.dumps(found.to_json(), indent=2))
        return
    table = Table(
        "model", "trained on", "balanced accuracy", "AUC", "right where the federated one is not", "the reverse"
    )
    for rival in found.rivals:
        auc = rival.measures.auc
        table.add_row(
            RIVALS.get(rival.model, rival.model),
            TRAINED_ON[rival.trained],
            str(rival.measures.balanced_accuracy or "unknown"),
            auc.decimal if auc else "",
            str(rival.only_this),
            str(rival.only_federated),
        )
    _console.print(table)
    tested = found.rivals[0].measures.tested
    _console.print(
        f"On {tested} test records of {found.hospital}, with the model of round {found.round}; in brackets 95 %"
        " intervals. Nothing was sent."
    )


@models.command()
def export(
    study: StudyName,
    form: Annotated[FormName, typer.Option("--format", help="What reads the file.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FOLDER", help="Folder to make; by default STUDY-round-N in this one."),
    ] = None,
    round_id: Annotated[
        int | None,
        typer.Option("--round", min=1, max=LAST_NUMBER, help="The round that ended with it; by default the last one."),
    ] = None,
) -> None:
    """Take a model out: a file that other software loads, its card, how to prepare a record, and the proof of it."""
    settings = Settings.load()
    if out is not None:
        refuse_what_is_there(out)  # before minutes of work
    taken = take_out(
        study, None if round_id is None else RoundId(round_id), FORMS[form], Observer.open(settings), settings
    )
    folder = out or Path(f"{study}-round-{taken.round}")
    write_folder(folder, taken.files)
    file = folder / FORMS[form].file
    typer.echo(f"{folder}: round {taken.round} of {study}: {', '.join(sorted(taken.files))}")
    typer.echo(f"Check it anywhere with `wardround model verify {file} --nodes FILE`")
    _console.print(f"[bold red]{WARNING}[/bold red]")


@models.command()
def verify(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="What `wardround model export` wrote.")
    ],
    nodes: Annotated[
        Path,
        typer.Option(exists=True, dir_okay=False, help="The members' file, or YAML of the nodes: name to address."),
    ],
    proof: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help=f"The round's proof bundle; by default {PROOF} beside FILE."),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Learn from which round an exported file comes, or that it does not, with no network.

    Runs nothing that the file holds. Exit code 1 with the reason where it is no export of the proof's round.
    """
    data = read_file(file, lineage.LARGEST_FILE)
    bundle = file.with_name(PROOF) if proof is None else proof
    try:
        report, held, transcript = checked(bundle, nodes)
        if report.first_problem is not None:
            raise EvidenceRejected(f"{bundle}: {report.first_problem}")
        evidence = RoundEvidence(report.round, transcript, held)
        backbone = file.with_name(BACKBONE)
        found = lineage.check(data, evidence, read_file(backbone, lineage.LARGEST_FILE) if backbone.exists() else None)
        beside = {
            name: read_file(file.with_name(name), _LARGEST_TEXT)
            for name in DESCRIBING
            if file.with_name(name).exists() and file.name == found.form.file
        }
        view = gather_proven(evidence, transcript.development)
        check_beside(beside, found, data, read_file(bundle, LARGEST_BUNDLE), view)
    except Rejected as error:
        if json_:
            typer.echo(json.dumps({"file": str(file), "holds": False, "reason": str(error)}, indent=2))
        else:
            _console.print(f"[red]{escape(str(file))} does not hold:[/red] {escape(str(error))}")
        raise typer.Exit(1) from None
    if json_:
        typer.echo(json.dumps({"file": str(file), "holds": True, **found.to_json()}, indent=2))
        return
    chain = "development chain, which its one operator can rewrite" if transcript.development else "chain"
    said = found.to_json()
    _console.print(
        f"[green]{escape(str(file))}:[/green] the model of round {said['round']} of study {said['study']}, as"
        f" {said['format']}"
    )
    _console.print(f"  model        {said['model']}")
    _console.print(f"  beside it    {', '.join(beside) or 'nothing that describes it'}")
    _console.print(f"  signed for   {chain} {transcript.chain_id}, contract {transcript.contract}")


def predict(
    study: StudyName,
    path: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="CSV, Parquet or JSON rows, a picture, a folder of them; - reads JSON."),
    ],
    hospital: Hospital = None,
    json_: JsonOption = False,
) -> None:
    """Predict with the current global model, after its hash was checked against the ledger. No medical device."""
    settings = Settings.load()
    predictor = Predictor.open(study, _hospital(settings, study, hospital), settings)
    answers = predictor.predict(_questions(predictor.study, path))
    if json_:
        typer.echo(
            json.dumps({"card": predictor.card.to_json(), "answers": [vars(answer) for answer in answers]}, indent=2)
        )
        return
    _print_card(predictor.card)
    table = Table("record", "answer", "model's own confidence", box=SIMPLE_HEAD)
    for answer in answers:
        table.add_row(escape(answer.record), escape(answer.label), f"{answer.shares[answer.label]:.0%}")
    _console.print(table)
    _console.print(f"[bold red]{predictor.card.warning}[/bold red]")


def _questions(study: Study, path: Path) -> PredictionBatch:
    source = study.source
    if path == _STANDARD_INPUT:
        # A patient's row belongs neither into the shell's history nor into the list of processes.
        if not isinstance(source, tables.Table):
            raise Misconfigured(f"FILE: got -, want a picture or a folder of them: {study.name} is about pictures")
        text = sys.stdin.read()
        return readable("the row", lambda: source.questions_of(table_files.from_json(text, "standard input")))
    return readable(path.name, lambda: source.questions(path))


def _hospital(settings: Settings, study: str, name: str | None) -> HospitalName:
    here = [
        hospital
        for hospital in Study.load(settings.studies / f"{study}.yaml").hospitals
        if settings.hospital(hospital).exists()
    ]
    if name is None and len(here) == 1:
        return here[0]
    if name not in here:
        raise Misconfigured(
            f"--as: got {name or 'nothing'}, want one of this machine's hospitals of {study}:"
            f" {', '.join(here) or 'none'}"
        )
    return HospitalName(name)


def _print_card(card: ModelCard) -> None:
    accuracy = "not confirmed" if card.accuracy is None else f"{card.accuracy:.1%} of all hospitals' test records"
    chain = "development chain" if card.development else "chain"
    by_hospital = ", ".join(
        f"{name} {'-' if tally is None else f'{tally[0]} of {tally[1]}'}" for name, tally in card.hospitals.items()
    )
    _console.print(f"[bold]{escape(card.title)}[/bold]: {escape(' or '.join(card.classes))}")
    _console.print(f"  data      {escape(card.dataset)} ({escape(card.source)})")
    _console.print(
        f"  model     {card.model}, of round {card.round}, after {card.rounds} rounds; the {chain} vouches for it"
    )
    if card.conclusion:
        _console.print(f"  final     the study is concluded: {escape(card.conclusion)}")
    if card.scale:
        constants = "; ".join(f"{name} {mean:.4g} ± {spread:.4g}" for name, (mean, spread) in card.scale.items())
        _console.print(f"  scale     {escape(constants)}")
    _console.print(f"  accuracy  {accuracy}; {by_hospital}")
    if card.measures:
        print_measures(card.measures, _console)
    if card.subgroups:
        print_subgroups(card.subgroups, _console)
