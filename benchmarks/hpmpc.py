"""What a peer's engine takes for the same networks and images: HPMPC with PIGEON, beside ours, SPU and stock MP-SPDZ.

HPMPC_HOME names a folder that holds, for each of `BUILDS`, a folder of one executable per party, `run-P0.o` and so on,
and the `ssl_certificates` of HPMPC's sources. HPMPC fixes network, protocol and number of models when it is compiled;
its program is `hpmpc_networks.hpp`, and docs/reference/results/performance.md names each folder's settings. One run
measures everything, so that its ratios compare like with like: `python -m benchmarks.hpmpc`. Run it where nobody else
reaches this machine's ports: HPMPC listens on all interfaces.
"""

from __future__ import annotations

import json
import os
import platform
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import typer

from benchmarks.mpc import LENET, MAIN, Work, costs, measured, plain, stock
from pipeline.domain import INPUT_BITS, UPDATE_BITS, EngineStats
from pipeline.errors import EngineFailed, Misconfigured
from pipeline.host.files import write_atomic
from pipeline.host.program import run as run_program
from pipeline.layers import CHECKED, plan
from pipeline.layers.arrays import ArrayArithmetic, split_parameters
from pipeline.mpc.engines import engine
from pipeline.mpc.engines.base import Engine
from pipeline.mpc.engines.mp_spdz import process
from pipeline.mpc.engines.mp_spdz.engine import MpSpdz
from pipeline.mpc.engines.mp_spdz.profiles import Profile
from pipeline.mpc.engines.session.process_activity import ProcessActivity
from pipeline.site.settings import Settings
from pipeline.train.network import module

RESULTS = Path(__file__).parent / "results" / "hpmpc.json"
HOME = "HPMPC_HOME"

_DEADLINE_SECONDS = 600.0
_SEEDS = range(5)
"""Each run has other models and images: HPMPC's masks, and with them its roundings, are the same in every run."""
_FOUR_NODES = ("Quad", "rep4-ring")
_EXACT = "exact"
_BY_CHANCE = "by chance"
_NO_TLS = "no"
_OURS = {"numbers": f"64, {UPDATE_BITS} and {INPUT_BITS}", "truncation": _EXACT, "tls": "mutual"}
_STOCK = {"numbers": f"64, {UPDATE_BITS}", "truncation": _BY_CHANCE, "tls": "mutual"}
_LENET = Work("LeNet 20/50/500", "max", LENET, MAIN.hospitals, MAIN.samples)

_SENT = re.compile(r"Sending to other players:(?P<amounts>.*)")
_AMOUNT = re.compile(r"([0-9.e+-]+)MB")
_RIGHT = re.compile(r"accuracy\((?P<images>\d+) images\): (?P<percent>[0-9.]+)%")
_INVENTED = re.compile(r"(dummy (?:weights|images|labels))")


@dataclass(frozen=True)
class Build:
    """One set of HPMPC's executables and what it was compiled for."""

    folder: str
    protocol: str
    parties: int
    bits: int
    """Of the ring."""
    fractional_bits: int
    truncation: str = _BY_CHANCE
    tls: str = _NO_TLS
    work: Work = MAIN

    @property
    def columns(self) -> dict[str, Any]:
        """What identifies it in a row."""
        return {
            "engine": "hpmpc",
            "protocol": self.protocol,
            "numbers": f"{self.bits}, {self.fractional_bits}",
            "truncation": self.truncation,
            "tls": self.tls,
        }


BUILDS = (
    Build("trio-64", "Trio", 3, 64, 16),
    Build("trio-64-tls", "Trio", 3, 64, 16, tls="nobody checked"),
    Build("trio-64-exact", "Trio", 3, 64, 16, truncation=_EXACT),
    Build("trio-32", "Trio", 3, 32, 8),
    Build("quad-64", "Quad", 4, 64, 16),
    Build("trio-64-lenet", "Trio", 3, 64, 16, work=_LENET),
)


@dataclass(frozen=True)
class Said:
    """What one party printed."""

    mb_sent: float
    unlike: tuple[int, ...]
    """Per model the answers that are not the labels'."""


@dataclass(frozen=True)
class Inputs:
    """A verification's models and images, as numbers."""

    models: npt.NDArray[np.int64]
    """(models, parameters), update bits."""
    images: npt.NDArray[np.int64]
    """(images, *shape), input bits."""

    @classmethod
    def of(cls, work: Work, seed: int) -> Inputs:
        """Those that our programs evaluate."""
        task, payloads = work.round(seed)
        size = work.network.size
        pixels = work.samples * int(np.prod(work.network.input_shape))
        return cls(
            np.stack([task.previous_model, *(task.previous_model + words[:size] for words in payloads.values())]),
            np.concatenate([words[size : size + pixels] for words in payloads.values()]).reshape(
                -1, *work.network.input_shape
            ),
        )

    @property
    def floats(self) -> npt.NDArray[np.float32]:
        """The images, exact."""
        return (self.images / (1 << INPUT_BITS)).astype(np.float32)

    def answers(self, work: Work) -> npt.NDArray[np.uint32]:
        """PyTorch's class of every image by every model, (models, images)."""
        import torch

        images = torch.from_numpy(self.floats)
        with torch.inference_mode():
            classes = [module(work.network, model)(images).argmax(dim=1).numpy() for model in self.models]
        return np.stack(classes).astype(np.uint32)

    def unlike(self, work: Work) -> int:
        """Answers of the reference that are not PyTorch's."""
        parameters = split_parameters(work.network, self.models)
        logits = plan(work.network, 255, CHECKED).logits(ArrayArithmetic(np), self.images[None], parameters)
        return int((logits.argmax(axis=2) != self.answers(work)).sum())

    def write(self, work: Work, folder: Path) -> None:
        """The files that PIGEON reads; PyTorch's answers are the labels."""
        self.floats.tofile(folder / "images")
        for number, (model, answers) in enumerate(zip(self.models, self.answers(work), strict=True)):
            weights = (model / (1 << UPDATE_BITS)).astype(np.float32)
            (folder / f"model{number}").write_bytes(np.int32(weights.size).tobytes() + weights.tobytes())
            answers.tofile(folder / f"labels{number}")


def parsed(text: str) -> Said:
    """What a party printed; raises EngineFailed where it computed on other inputs or did not finish."""
    if invented := _INVENTED.search(text):
        raise EngineFailed(f"hpmpc: got {invented[1]} instead of a file, want all files of the benchmark read")
    amounts = [float(amount) for line in _SENT.finditer(text) for amount in _AMOUNT.findall(line["amounts"])]
    right = [(int(line["images"]), float(line["percent"])) for line in _RIGHT.finditer(text)]
    if not amounts or not right:
        raise EngineFailed("hpmpc: got no traffic or no accuracy in a party's output, want both; did it finish?")
    return Said(sum(amounts), tuple(round(images * (1 - percent / 100)) for images, percent in right))


def installation() -> Path:
    """The folder that HPMPC_HOME names; raises Misconfigured where an executable is missing."""
    named = os.environ.get(HOME)
    if not named:
        raise Misconfigured(f"{HOME}: got nothing, want the folder of an installation of HPMPC; nothing was measured")
    home = Path(named).absolute()
    absent = [
        build.folder
        for build in BUILDS
        if not all(os.access(_executable(home, build, party), os.X_OK) for party in range(build.parties))
    ]
    if absent:
        raise Misconfigured(
            f"{HOME}: got {home} without executables of {', '.join(absent)}, want run-P0.o and so on, one per party"
        )
    return home


def _executable(home: Path, build: Build, party: int) -> Path:
    return home / build.folder / f"run-P{party}.o"


def peer(build: Build, home: Path) -> dict[str, Any]:
    """One row of HPMPC: the run that took the least CPU, the answers of all runs."""
    runs = []
    for seed in _SEEDS:
        with tempfile.TemporaryDirectory() as folder:
            Inputs.of(build.work, seed).write(build.work, Path(folder))
            runs.append(_run(build, home, Path(folder)))
    cheapest = min((stats for stats, _ in runs), key=lambda parties: sum(party.cpu_seconds for party in parties))
    return (
        build.work.columns
        | build.columns
        | costs(cheapest, build.work.columns["models"])
        | {"plain_cpu_s": plain(build.work), "unlike_pytorch": sum(unlike for _, unlike in runs)}
    )


def _run(build: Build, home: Path, folder: Path) -> tuple[list[EngineStats], int]:
    """All parties on this machine: what each took, and the answers that are not PyTorch's."""
    files = [f"MODEL_DIR={folder}", "MODEL_FILE=model"]
    files += [f"DATA_DIR={folder}", "SAMPLES_FILE=images", "LABELS_FILE=labels"]
    limits = process.RunLimits(time.monotonic() + _DEADLINE_SECONDS, threading.Event(), _DEADLINE_SECONDS)
    logs = [folder / f"log{party}" for party in range(build.parties)]

    def run(party: int) -> process.Ended:
        command = ["env", *files, str(_executable(home, build, party))]
        ended = process.run(command, home, logs[party], limits, ProcessActivity())
        if ended.code != 0:
            limits.cancelled.set()
        return ended

    with ThreadPoolExecutor(build.parties) as threads:
        parties = list(threads.map(run, range(build.parties)))
    codes = [ended.code for ended in parties]
    if any(code != 0 for code in codes):
        raise EngineFailed(f"hpmpc: got exit codes {codes} of the parties of {build.folder}, want 0 of all")
    said = [parsed(log.read_text(errors="replace")) for log in logs]
    stats = [
        replace(ended.stats, bytes_sent=round(words.mb_sent * 1e6)) for ended, words in zip(parties, said, strict=True)
    ]
    return stats, sum(said[0].unlike)


def whole_rule(work: Work, run_by: Engine, protocol: str) -> dict[str, Any]:
    """One row of our program; its answers are the reference's."""
    row = measured(work, run_by, protocol, repetitions=len(_SEEDS))
    if not row["equal_to_reference"]:
        raise EngineFailed(f"{run_by.name}: got other verdicts than the reference's, want the same")
    return row | _OURS | {"unlike_pytorch": sum(Inputs.of(work, seed).unlike(work) for seed in _SEEDS)}


def measurements(settings: Settings, home: Path) -> Iterable[Callable[[], dict[str, Any]]]:
    """Every row; what is compared with each other follows on each other."""
    lan = MpSpdz(settings, Profile.LAN)
    for protocol in ("replicated-ring", "rep4-ring"):
        yield partial(whole_rule, MAIN, lan, protocol)
    yield from (partial(peer, build, home) for build in BUILDS if build.work is MAIN)
    yield partial(whole_rule, MAIN, engine("spu", settings), "aby3")
    yield lambda: stock(MAIN, settings) | _STOCK
    yield partial(whole_rule, _LENET, lan, "replicated-ring")
    yield from (partial(peer, build, home) for build in BUILDS if build.work is _LENET)


def with_ratios(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows, each with its CPU over that of our program on as many nodes."""
    ours = {(row["model"], row["protocol"]): float(row["cpu_s"]) for row in rows if row["engine"] == "mp-spdz"}

    def over(row: Mapping[str, Any]) -> float:
        twin = "rep4-ring" if row["protocol"] in _FOUR_NODES else "replicated-ring"
        return round(float(row["cpu_s"]) / ours[row["model"], twin], 2)

    return [{**row, "over_ours": over(row)} for row in rows]


def main() -> None:
    """Measure, print each row and write results/hpmpc.json."""
    home = installation()
    rows: list[dict[str, Any]] = []
    for measure in measurements(Settings.load(), home):
        rows.append(measure())
        typer.echo(json.dumps(rows[-1]))
    machine = {"cores": psutil.cpu_count(), "machine": platform.machine(), "load": round(psutil.getloadavg()[1], 1)}
    result = {"machine": machine, "runs": len(_SEEDS), "rows": with_ratios(rows)}
    write_atomic(RESULTS, (json.dumps(result, indent=2) + "\n").encode())


if __name__ == "__main__":
    run_program(main)
