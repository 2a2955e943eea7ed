"""Train without Airflow, as stages of `dvc repro`.

The same functions as the DAG's tasks, on data that lie on this machine.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from pipeline.datasets import Samples
from pipeline.datasets.pool import split
from pipeline.datasets.records import read
from pipeline.domain import HospitalName, RoundId, Verdict
from pipeline.errors import Misconfigured
from pipeline.host import program
from pipeline.host.files import write_atomic
from pipeline.model_file import model_bytes, read_model
from pipeline.site.identity import sharing_secret
from pipeline.site.settings import Settings
from pipeline.study.study import Study
from pipeline.train.initial import initial_model
from pipeline.train.misbehaviour import configured
from pipeline.train.stage import run
from pipeline.train.statistics import statistics
from pipeline.train.undefended import UndefendedMember
from pipeline.train.undefended import undefended as averaged

app = program.commands()

StudyFile = Annotated[Path, typer.Option(help="study file")]
Out = Annotated[Path, typer.Option(help="file to write")]


@app.command()
def initial(study: StudyFile, out: Out) -> None:
    """Write the study's model of round 0 (safetensors)."""
    write_atomic(out, model_bytes(initial_model(Study.load(study))))


@app.command()
def update(
    study: StudyFile,
    hospital: Annotated[str, typer.Option(help="name of the hospital, one of the study's")],
    model: Annotated[Path, typer.Option(help="global model (safetensors)")],
    round_id: Annotated[int, typer.Option("--round", min=1, help="number of the round on the ledger")],
    rounds_finished: Annotated[int, typer.Option(min=0, help="rounds that ended in a model before this one")],
    out: Out,
    budget: Annotated[
        int | None, typer.Option(min=0, help="squared norm in force, 32 fractional bits; none in the first round")
    ] = None,
    verdicts: Annotated[
        str, typer.Option(help="past verdicts on this hospital, oldest first: accepted,rejected,...")
    ] = "",
) -> None:
    """Train one hospital and write its update (.npy, int64), or what it says of inputs that the round measures."""
    loaded = Study.load(study)
    name = _member(loaded, hospital)
    home = Settings.load().hospital(name)
    start = read_model(model.read_bytes(), loaded.network.size)
    loaded = loaded.at(start)
    if loaded.source.measured:
        vector = statistics(loaded, home)
    else:
        vector = run(
            loaded,
            start.parameters,
            _training(home, loaded)[0],
            round_id=RoundId(round_id),
            finished=rounds_finished,
            hospital=name,
            budget=budget,
            verdicts=[_accepted(word) for word in verdicts.split(",") if word],
            behaviour=configured(home),
        )
    buffer = io.BytesIO()
    np.save(buffer, vector)
    write_atomic(out, buffer.getvalue(), mode=0o600)


@app.command()
def undefended(
    study: StudyFile,
    rounds: Annotated[str, typer.Option(help="numbers of the rounds that train: 1,2,3")],
    out: Out,
    model: Annotated[
        Path | None, typer.Option(help="a model of the study, for the scale of the inputs that it measured")
    ] = None,
) -> None:
    """Write the accuracy per round of plain averaging with all hospitals of this machine (JSON)."""
    loaded = Study.load(study)
    if model is not None:
        loaded = loaded.at(read_model(model.read_bytes(), loaded.network.size))
    if loaded.source.measured:
        raise Misconfigured(
            f"--model: got none with the scale of {loaded.name}, want a model that one of its rounds ended with"
        )
    settings = Settings.load()
    members = {}
    for name in loaded.hospitals:
        home = settings.hospital(name)
        members[name] = UndefendedMember(*_training(home, loaded), configured(home))
    numbers = [RoundId(int(number)) for number in rounds.split(",")]
    results = averaged(loaded, members, numbers)
    _write(out, {str(number): _share(result) for number, result in zip(numbers, results, strict=True)})


def _member(study: Study, hospital: str) -> HospitalName:
    if hospital not in study.hospitals:
        raise Misconfigured(f"--hospital: got {hospital!r}, want one of {', '.join(study.hospitals)}")
    return HospitalName(hospital)


def _training(home: Path, study: Study) -> tuple[Samples, Samples]:
    """Records to train on, without the validation pool, and test records."""
    records = read(home, study.source)
    rows, _ = split(records.train, sharing_secret(home))
    return records.train[rows], records.test


def _accepted(word: str) -> bool:
    if word not in (Verdict.ACCEPTED, Verdict.REJECTED):
        raise Misconfigured(f"--verdicts: got {word!r}, want {Verdict.ACCEPTED} or {Verdict.REJECTED}")
    return word == Verdict.ACCEPTED


def _share(result: tuple[int, int]) -> float:
    correct, tested = result
    return round(correct / tested, 4)


def _write(out: Path, content: dict[str, float]) -> None:
    write_atomic(out, (json.dumps(content, indent=2) + "\n").encode())


if __name__ == "__main__":
    program.run(app)
