"""Whether MP-SPDZ's verdicts and budget equal the reference's, and at what cost, over models x hospitals x images.

`python -m benchmarks.mpc_grid [MODEL ...]` adds its rows to results/mpc_grid.json. Images are dealt evenly, rounded up.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.files import write_atomic
from pipeline.layers import AvgPool2d, MaxPool2d, Network
from pipeline.mpc import reference
from pipeline.mpc.engines.base import VerifyOutput
from pipeline.mpc.engines.mp_spdz import NODES, MpSpdz
from tests.support.parties import make_parties, run_parties
from tests.support.tasks import LOGISTIC, MLP, lenet, random_round, small_cnn

RESULTS = Path(__file__).parent / "results" / "mpc_grid.json"

MODELS: dict[str, Network] = {
    "logistic": LOGISTIC,
    "mlp": MLP,
    "small-cnn-avg": small_cnn(AvgPool2d),
    "small-cnn-max": small_cnn(MaxPool2d),
    "lenet-avg": lenet(AvgPool2d),
    "lenet-max": lenet(MaxPool2d),
}
CELLS = [("replicated-ring", hospitals, images) for hospitals in (3, 5, 10) for images in (64, 200)] + [("rep4-ring", 5, 64)]
_DEADLINE_SECONDS = 1800


def measure(model: str, protocol: str, hospitals: int, images: int) -> dict[str, Any]:
    """One verification by all parties on this machine."""
    samples = -(-images // hospitals)
    task, payloads = random_round(MODELS[model], hospitals, samples, seed=images)
    engine = MpSpdz()
    engine.prepare(protocol, task)
    with tempfile.TemporaryDirectory() as folder:
        parties = make_parties(NODES[protocol], Path(folder), _DEADLINE_SECONDS)
        outputs = [each for each in run_parties(engine, protocol, task, payloads, Path(folder), parties) if isinstance(each, VerifyOutput)]
    stats, expected = [output.stats for output in outputs], reference.verify(task, payloads)
    return {
        "model": model,
        "protocol": protocol,
        "hospitals": hospitals,
        "models_evaluated": hospitals + 1,
        "images": hospitals * samples,
        "cpu_s": round(sum(each.cpu_seconds for each in stats), 2),
        "wall_s": round(max(each.wall_seconds for each in stats), 2),
        "rounds": stats[0].rounds,
        "mb": round(sum(each.bytes_sent for each in stats) / 1e6, 1),
        "rss_mb": round(max(each.rss_bytes for each in stats) / 2**20),
        "equal_to_reference": [(output.accepted, output.budget) for output in outputs] == [expected] * NODES[protocol],
    }


def main(models: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Measure the cells of these models, or of all, and write each as soon as it is known."""
    for model in models or list(MODELS):
        for protocol, hospitals, images in CELLS:
            row = measure(model, protocol, hospitals, images)
            known = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
            place = [row[key] for key in ("model", "protocol", "hospitals", "images")]
            rows = [each for each in known if [each[key] for key in ("model", "protocol", "hospitals", "images")] != place]
            write_atomic(RESULTS, (json.dumps({"rows": [*rows, row]}, indent=2) + "\n").encode())
            typer.echo(json.dumps(row))


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    app()
