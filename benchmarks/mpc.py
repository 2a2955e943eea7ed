"""What the encrypted verification costs.

Our programs under both protocols and profiles, SPU, MP-SPDZ's own layers, and plain PyTorch.

One run measures everything, so that its ratios compare like with like: `make bench-mpc` (`python -m benchmarks.mpc
[--quick]`). CPU seconds are summed over the parties; wall seconds are the slowest party's, with all parties on this
machine.
"""

from __future__ import annotations

import json
import platform
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import typer

from benchmarks.stock import StockLayers, vector
from pipeline.domain import EngineStats, HospitalName
from pipeline.host.files import write_atomic
from pipeline.layers import Network, plan
from pipeline.layers.arrays import ArrayArithmetic, split_parameters
from pipeline.layers.avg_pool2d import AvgPool2d
from pipeline.layers.conv2d import Conv2d
from pipeline.layers.flatten import Flatten
from pipeline.layers.linear import Linear
from pipeline.layers.max_pool2d import MaxPool2d
from pipeline.layers.relu import ReLU
from pipeline.mpc import reference, reference_projected, rule
from pipeline.mpc.engines import engine
from pipeline.mpc.engines.base import Engine, Party, Payload, ProjectedTask, VerifyOutput, VerifyTask
from pipeline.mpc.engines.mp_spdz.engine import MpSpdz
from pipeline.mpc.engines.mp_spdz.profiles import Profile
from pipeline.site.settings import Settings
from pipeline.study.fields import PROTOCOLS
from pipeline.train.network import module
from tests.support.large import SEED
from tests.support.parties import deal, make_parties, outcomes_of
from tests.support.relay import delayed
from tests.support.tasks import LOGISTIC, MLP, Words, lenet, random_round, residual, small_cnn

RESULTS = Path(__file__).parent / "results" / "mpc.json"

_DEADLINE_SECONDS = 1800.0
_PLAIN_SECONDS = 0.2
_STOCK = "Compiler.ml"


@dataclass(frozen=True)
class Work:
    """One verification: every model (each hospital's and the global one) on every hospital's images."""

    model: str
    pooling: str
    network: Network
    hospitals: int
    samples: int
    mode: str = "full"

    @property
    def columns(self) -> dict[str, Any]:
        """What identifies the work in a row."""
        return {
            "model": self.model,
            "pooling": self.pooling,
            "parameters": self.network.size,
            "mode": self.mode,
            "models": self.hospitals + 1,
            "images": self.hospitals * self.samples,
        }

    def round(self, seed: int = 0) -> tuple[VerifyTask, dict[HospitalName, Words]]:
        """Random inputs, the same each time."""
        scale = min(0.05, 8 / np.sqrt(self.network.size))
        task, payloads = random_round(self.network, self.hospitals, self.samples, seed=seed, scale=scale)
        model = rule.capped(task.previous_model)
        if self.mode == "large":
            return ProjectedTask(task.hospitals, task.network, task.rule, model, SEED), payloads
        return replace(task, previous_model=model), payloads


CNN = small_cnn(AvgPool2d)
CNN_MAX = small_cnn(MaxPool2d)
LENET = lenet(MaxPool2d)
MILLION = Network(
    (1, 64, 64),
    (
        *(Conv2d(20, 5), MaxPool2d(3), ReLU()),
        *(Conv2d(100, 5), MaxPool2d(4), ReLU()),
        *(Flatten(), Linear(600), ReLU(), Linear(2)),
    ),
)
MAIN = Work("small CNN", "average", CNN, 4, 16)
MAIN_MAX = Work("small CNN", "max", CNN_MAX, 4, 16)
HEAD = Work("head of a backbone, 1280-2", "none", Network((1280,), (Linear(2),)), 4, 16)
DEEP = Work(
    "residual network of 13 weighted layers on 64 x 64",
    "none",
    residual((24, 64, 160, 320), side=64),
    *(MAIN.hospitals, MAIN.samples),
    "large",
)
SMALL = (Work("logistic", "none", LOGISTIC, 4, 16), Work("MLP 30-64-2", "none", MLP, 4, 16), HEAD)
LARGE = (
    Work("small CNN", "average", CNN, 10, 20),
    Work("small CNN", "max", CNN_MAX, 10, 20),
    Work("LeNet 20/50/500", "max", LENET, 4, 16),
    Work("LeNet 20/50/500", "max", LENET, 4, 16, "large"),
    Work("CNN 20/100/600 on 64 x 64", "max", MILLION, 4, 16, "large"),
    DEEP,
)


def measured(
    work: Work, runner: Engine, protocol: str, round_trip_ms: float = 0, repetitions: int = 1
) -> dict[str, Any]:
    """One row; of several repetitions the one that took the least CPU."""
    task, payloads = work.round()
    expected = _expected(task, payloads)
    outcomes = []
    for _ in range(repetitions):
        with tempfile.TemporaryDirectory() as folder:
            parties = make_parties(PROTOCOLS[runner.name][protocol], Path(folder), _DEADLINE_SECONDS)
            if round_trip_ms:
                with delayed(parties, round_trip_ms / 1000) as apart:
                    outcomes.append(outcomes_of(runner, protocol, task, payloads, apart))
            else:
                outcomes.append(outcomes_of(runner, protocol, task, payloads, parties))
    for outputs in outcomes:
        for output in outputs:
            if isinstance(output, Exception):
                raise output
    equal = all(
        isinstance(output, VerifyOutput) and (output.accepted, output.budget) == expected
        for outputs in outcomes
        for output in outputs
    )
    cheapest = min(
        ([output.stats for output in outputs if isinstance(output, VerifyOutput)] for outputs in outcomes), key=_cpu
    )
    profile = getattr(runner, "_profile", None)
    row = {
        "engine": runner.name,
        "protocol": protocol,
        "profile": profile and profile.value,
        "round_trip_ms": round_trip_ms,
    }
    return (
        work.columns
        | row
        | costs(cheapest, work.hospitals + 1)
        | {"plain_cpu_s": plain(work), "equal_to_reference": equal}
    )


def _expected(task: VerifyTask, payloads: Mapping[HospitalName, Words]) -> tuple[tuple[bool, ...], int]:
    if isinstance(task, ProjectedTask):
        return reference_projected.verify(task, payloads)
    return reference.verify(task, payloads)


def stock(work: Work, settings: Settings, first: int | None = None) -> dict[str, Any]:
    """The row of MP-SPDZ's own layers, one model after the other in one run: all models, or the `first` few."""
    task, payloads = work.round()
    size = work.network.size
    inputs_end = Payload(work.network, work.samples).length - work.samples * work.network.classes
    models = np.stack([task.previous_model, *(task.previous_model + words[:size] for words in payloads.values())])[
        :first
    ]
    images = np.concatenate([words[size:inputs_end] for words in payloads.values()]).reshape(
        -1, *work.network.input_shape
    )
    rows = np.concatenate([words[inputs_end:] for words in payloads.values()]).reshape(-1, work.network.classes)
    labels = rows.argmax(axis=1)
    logits = plan(work.network, 255, task.weights).logits(
        ArrayArithmetic(np), images[None], split_parameters(work.network, models)
    )
    expected = (logits.argmax(axis=2) == labels).sum(axis=1)
    dealt = deal({HospitalName("all"): vector(work.network, models, images, labels)}, 3)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(3) as threads:
        parties = make_parties(3, Path(folder), _DEADLINE_SECONDS)

        def run(party: Party) -> tuple[Words, EngineStats]:
            return StockLayers(settings).count(task, len(models), dict(dealt[party.index][HospitalName("all")]), party)

        counted = list(threads.map(run, parties))
    # its truncations are probabilistic and its activations have other fractional bits: a count may differ by an image
    # at the border
    furthest = max(int(np.abs(counts - expected).max()) for counts, _ in counted)
    row = {"engine": "mp-spdz " + _STOCK, "protocol": "replicated-ring", "profile": None, "round_trip_ms": 0}
    alone = round(plain(work) * len(models) / (work.hospitals + 1), 6)
    taken = costs([stats for _, stats in counted], len(models)) | {
        "plain_cpu_s": alone,
        "equal_to_reference": furthest == 0,
    }
    return work.columns | {"models": len(models)} | row | taken | {"largest_difference_of_a_count": furthest}


def plain(work: Work) -> float:
    """CPU seconds of PyTorch on one thread for the same models and images."""
    import torch

    torch.set_num_threads(1)
    task, payloads = work.round()
    modules = [
        module(work.network, task.previous_model + words[: work.network.size])
        for words in (np.zeros_like(task.previous_model), *payloads.values())
    ]
    images = torch.rand(work.hospitals * work.samples, *work.network.input_shape)
    taken = 0.0
    runs = 0
    with torch.inference_mode():
        modules[0](images)
        start = time.process_time()
        while taken < _PLAIN_SECONDS:
            for model in modules:
                model(images).argmax(dim=1)
            taken = time.process_time() - start
            runs = runs + 1
    return round(taken / runs, 6)


def _cpu(stats: Sequence[EngineStats]) -> float:
    return sum(party.cpu_seconds for party in stats)


def costs(stats: Sequence[EngineStats], models: int) -> dict[str, Any]:
    """The columns of what the parties took."""
    rounds = [party.rounds for party in stats if party.rounds is not None]
    return {
        "cpu_s": round(_cpu(stats), 3),
        "cpu_s_per_model": round(_cpu(stats) / models, 3),
        "wall_s": round(max(party.wall_seconds for party in stats), 2),
        "rounds": max(rounds) if rounds else None,
        "mb": round(sum(party.bytes_sent for party in stats) / 1e6, 1),
        "rss_mb": round(max(party.rss_bytes for party in stats) / 1e6),
    }


def ratios(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """CPU ratios at 5 models x 64 images of the small CNN with average pooling."""
    at_once = [row for row in rows if not row["round_trip_ms"] and row["profile"] != Profile.WAN]
    cpu = {
        (row["engine"], row["protocol"], row["model"], row["pooling"], row["models"], row["images"]): row["cpu_s"]
        for row in at_once
    }
    main = ("small CNN", "average", 5, 64)
    ours = cpu.get(("mp-spdz", "replicated-ring", *main))

    def over(engine_name: str, protocol: str) -> float | None:
        other = cpu.get((engine_name, protocol, *main))
        return round(other / ours, 1) if other and ours else None

    return {
        "stock_over_ours": over("mp-spdz " + _STOCK, "replicated-ring"),
        "spu_over_ours": over("spu", "aby3"),
        "rep4_over_semi_honest": over("mp-spdz", "rep4-ring"),
    }


def measurements(settings: Settings, quick: bool) -> Iterable[Callable[[], dict[str, Any]]]:
    """Every row, from the cheapest; `quick` leaves out what takes minutes."""
    lan = MpSpdz(settings, Profile.LAN)
    wan = MpSpdz(settings, Profile.WAN)
    spu = engine("spu", settings)
    for work in (*SMALL, MAIN, MAIN_MAX):
        yield partial(measured, work, lan, "replicated-ring", repetitions=2)
    for work in (SMALL[1], HEAD, MAIN):
        yield partial(measured, work, lan, "rep4-ring", repetitions=2)
    for work in (SMALL[1], HEAD, MAIN) if quick else (SMALL[1], HEAD, MAIN, MAIN_MAX):
        yield partial(measured, work, spu, "aby3", repetitions=2)
    for round_trip in (0, 10, 40):
        yield partial(measured, MAIN, wan, "replicated-ring", round_trip)
        if round_trip:
            yield partial(measured, MAIN, lan, "replicated-ring", round_trip)
    yield partial(stock, MAIN, settings)
    if not quick:
        for work in LARGE:
            yield partial(measured, work, lan, "replicated-ring")
        yield partial(measured, MAIN_MAX, lan, "rep4-ring")
        # one model, of which the others would be repetitions: its maxima take five CPU seconds an image
        yield partial(stock, MAIN_MAX, settings, first=1)


def main(quick: Annotated[bool, typer.Option(help="leave out what takes minutes")] = False) -> None:
    """Measure, print each row and write results/mpc.json."""
    settings = Settings.load()
    rows: list[dict[str, Any]] = []
    for measure in measurements(settings, quick):
        rows.append(measure())
        typer.echo(json.dumps(rows[-1]))
        machine = {"cores": psutil.cpu_count(), "machine": platform.machine(), "load": round(psutil.getloadavg()[1], 1)}
        # kept row by row: a run that is broken off has measured something too
        write_atomic(
            RESULTS, (json.dumps({"machine": machine, "rows": rows, "ratios": ratios(rows)}, indent=2) + "\n").encode()
        )
    typer.echo(json.dumps(ratios(rows), indent=2))


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    app()
