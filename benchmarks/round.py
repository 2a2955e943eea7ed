"""What a verified round costs beside plain federated averaging of the same hospitals, in one run on one machine.

Needs a running installation (`wardround up`): `python -m benchmarks.round [STUDY] [--rounds N]`.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
from rich.console import Console

from pipeline.cli.runs import run_rounds
from pipeline.domain import RoundId, Sha256
from pipeline.host import program
from pipeline.host.files import write_atomic
from pipeline.replay.comparison import without_verification
from pipeline.site.settings import Settings
from pipeline.study.study import Study
from pipeline.views.observer import Observer

RESULTS = Path(__file__).parent / "results" / "round.json"


def measure(settings: Settings, study: Study, rounds: int) -> dict[str, Any]:
    """Run rounds through Airflow, then the same ones by plain averaging in this process."""
    started = time.monotonic()
    run_rounds(settings, study, rounds, Console())
    verified = (time.monotonic() - started) / rounds
    observer = Observer.open(settings)
    finished = [view for view in observer.views(study) if view.record is not None and not view.measured_scale]
    study = study.at(observer.model(Sha256(str(finished[-1].model))))
    numbers = [RoundId(view.round) for view in finished]
    without_verification(study, numbers[:1], settings)  # imports and first-use costs belong to neither side
    started = time.monotonic()
    plain = without_verification(study, numbers, settings)
    averaging = (time.monotonic() - started) / len(numbers)
    newest = finished[-rounds:]
    stages = list(newest[-1].seconds)
    return {
        "study": study.name,
        "engine": study.engine,
        "protocol": study.protocol,
        "hospitals": len(study.hospitals),
        "samples_per_hospital": study.rule.images_per_hospital,
        "parameters": study.network.size,
        "rounds": rounds,
        "cores": psutil.cpu_count(),
        "machine": platform.machine(),
        "seconds_per_round": round(verified, 1),
        "seconds_per_stage": {
            stage: round(statistics.median(view.seconds.get(stage, 0.0) for view in newest), 2) for stage in stages
        },
        "seconds_plain_averaging": round(averaging, 2),
        "ratios": {"verified_over_plain": round(verified / averaging, 1)},
        "accuracy": {"verified": round(newest[-1].accuracy or 0, 4), "plain_averaging": round(plain[-1], 4)},
    }


def main(
    study: Annotated[str, typer.Argument()] = "pneumonia", rounds: Annotated[int, typer.Option(min=1)] = 3
) -> None:
    """Measure, print and write results/round.json."""
    settings = Settings.load()
    result = measure(settings, Study.load(settings.studies / f"{study}.yaml"), rounds)
    before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"rows": []}
    rows = [row for row in before["rows"] if row["study"] != study] + [result]
    write_atomic(
        RESULTS, (json.dumps({"rows": sorted(rows, key=lambda row: str(row["study"]))}, indent=2) + "\n").encode()
    )
    typer.echo(json.dumps(result, indent=2))


if __name__ == "__main__":
    program.run(main)
