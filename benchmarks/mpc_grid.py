"""Whether all that the engines compute equals the reference, and at what cost, over models x hospitals x images.

`python -m benchmarks.mpc_grid [MODEL ...]` adds to results/mpc_grid.json what is not there for the present programs.
Each of the hospitals' models and the global one is evaluated on all images, which are dealt evenly, rounded up. Under
MP-SPDZ counts, norms, inner products and conditions are opened and compared too, by a program of the tests
(tests/support/opened.mpc); under SPU the accept bits and the next budget.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.domain import EngineStats
from pipeline.host.files import write_atomic
from pipeline.layers import Network
from pipeline.layers.avg_pool2d import AvgPool2d
from pipeline.layers.max_pool2d import MaxPool2d
from pipeline.mpc import reference, rule
from pipeline.mpc.engines import engine
from pipeline.mpc.engines.base import VerifyOutput
from pipeline.mpc.engines.mp_spdz import programs as mp_spdz_programs
from pipeline.mpc.engines.mp_spdz.profiles import Profile
from pipeline.site.settings import Settings
from tests.support.opened import Opened, differences, explanations
from tests.support.parties import make_parties, outcomes_of
from tests.support.tasks import LOGISTIC, MLP, lenet, random_round, small_cnn

RESULTS = Path(__file__).parent / "results" / "mpc_grid.json"

MODELS: dict[str, Network] = {
    "logistic": LOGISTIC,
    "MLP 30-64-2": MLP,
    "small CNN, average": small_cnn(AvgPool2d),
    "small CNN, max": small_cnn(MaxPool2d),
    "LeNet 20/50/500, average": lenet(AvgPool2d),
    "LeNet 20/50/500, max": lenet(MaxPool2d),
}
CELLS: Sequence[tuple[str, str, int, int]] = [
    *[("replicated-ring", Profile.LAN.value, hospitals, images) for images in (64, 200) for hospitals in (1, 5, 10)],
    ("replicated-ring", Profile.WAN.value, 5, 64),
    *[("rep4-ring", Profile.LAN.value, hospitals, 64) for hospitals in (1, 5)],
    *[("aby3", "", hospitals, 64) for hospitals in (1, 5)],
]
_KEYS = ("model", "protocol", "layout", "hospitals", "images", "programs")
_DEADLINE_SECONDS = 1800


def measure(model: str, protocol: str, layout: str, hospitals: int, images: int) -> dict[str, Any]:
    """One verification by all parties on this machine."""
    network = MODELS[model]
    settings = Settings.load()
    task, payloads = random_round(network, hospitals, -(-images // hospitals), seed=images)
    task = replace(task, previous_model=rule.capped(task.previous_model))
    expected = reference.explain(task, payloads)
    different: list[str] = []
    stats: list[EngineStats] = []
    with tempfile.TemporaryDirectory() as folder:
        if layout:
            opened = Opened(settings, Profile(layout))
            for explanation, cost in explanations(opened, protocol, task, payloads, Path(folder), _DEADLINE_SECONDS):
                different += differences(explanation, expected)
                stats.append(cost)
        else:
            for output in outcomes_of(
                engine("spu", settings), protocol, task, payloads, make_parties(3, Path(folder), _DEADLINE_SECONDS)
            ):
                if not isinstance(output, VerifyOutput):
                    raise RuntimeError(f"{model}: {output}")
                if (output.accepted, output.budget) != (expected.accepted, expected.budget):
                    different.append("verdict")
                stats.append(output.stats)
    return {
        "model": model,
        "protocol": protocol,
        "layout": layout,
        "hospitals": hospitals,
        "images": images,
        "programs": programs(),
        "models_evaluated": hospitals + 1,
        "images_evaluated": hospitals * task.rule.samples,
        "cpu_s": round(sum(party.cpu_seconds for party in stats), 2),
        "wall_s": round(max(party.wall_seconds for party in stats), 2),
        "rounds": stats[0].rounds,
        "mb": round(sum(party.bytes_sent for party in stats) / 1e6, 1),
        "rss_mb": round(max(party.rss_bytes for party in stats) / 1e6),
        "compared": "every quantity" if layout else "accept bits and budget",
        "equal_to_reference": not different,
        "different": sorted(set(different)),
    }


def programs() -> str:
    """What the figures are of."""
    return mp_spdz_programs.program_digest(Settings.load().mp_spdz)[:16]


def main(models: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Measure the cells of these models, or of all, that are missing, and write each as soon as it is known."""
    for model in models or list(MODELS):
        for cell in CELLS:
            written = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
            cell_key = [model, *cell, programs()]
            if cell_key in [[row[key] for key in _KEYS] for row in written]:
                continue
            row = measure(model, *cell)
            kept = [other for other in written if [other[key] for key in _KEYS[:-1]] != cell_key[:-1]]
            write_atomic(RESULTS, (json.dumps({"rows": [*kept, row]}, indent=2) + "\n").encode())
            typer.echo(json.dumps(row))


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    app()
