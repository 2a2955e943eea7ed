"""Validate a hospital's records without Airflow, as a stage of `dvc repro`: the same function as the DAG's task."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.errors import DataRejected
from pipeline.evidence.canonical import canonical_json
from pipeline.host import program
from pipeline.host.files import write_atomic
from pipeline.ingest.features import compare_features
from pipeline.ingest.validate import run
from pipeline.ingest.versioning import version
from pipeline.site.settings import Settings
from pipeline.study.study import Study


def main(
    study: Annotated[Path, typer.Option(help="study file")],
    hospital: Annotated[str, typer.Option(help="name of the hospital, one of the study's")],
    out: Annotated[Path, typer.Option(help="JSON file of what leaves the hospital")],
) -> None:
    """Check a hospital's records against the study's data contract; exits 1 naming the expectations that fail."""
    home = Settings.load().hospital(hospital)
    checked = Study.load(study)
    compare_features(home, checked.source)
    validation = run(home, checked, version(home, checked.dataset))
    write_atomic(out, canonical_json(validation.body()) + b"\n")
    if not validation.passed:
        raise DataRejected(hospital, validation.failed)


if __name__ == "__main__":
    program.run(main)
