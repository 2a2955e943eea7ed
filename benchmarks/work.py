"""How far the prices of a verification are from what verifications cost.

`python -m benchmarks.work` measures its cells that results/work.json lacks, fits the prices of every protocol to these
and to what results/mpc.json, panels.json and mpc_grid.json have, and writes results/work.json and
pipeline/mpc/prices.json. CPU seconds and bytes are those of all nodes together, on this machine, in the layout for
nodes that are near one another.
"""

from __future__ import annotations

import json
import platform
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import typer

from benchmarks.mpc import DEEP, HEAD, MILLION
from benchmarks.mpc_grid import MODELS
from pipeline.host.files import write_atomic
from pipeline.layers import CHECKED, PROJECTED, Network, plan
from pipeline.layers.conv2d import Conv2d
from pipeline.layers.flatten import Flatten
from pipeline.layers.linear import Linear
from pipeline.layers.relu import ReLU
from pipeline.mpc import price, reference, reference_projected, rule
from pipeline.mpc.engines import engine
from pipeline.mpc.engines.base import ProjectedTask, VerifyOutput
from pipeline.mpc.engines.mp_spdz.engine import MpSpdz
from pipeline.mpc.engines.mp_spdz.profiles import Profile
from pipeline.mpc.work import VerificationSizes
from pipeline.site.settings import Settings
from pipeline.study.fields import PROTOCOLS
from tests.support.large import SEED
from tests.support.parties import make_parties, outcomes_of
from tests.support.tasks import random_round

_FOLDER = Path(__file__).parent / "results"
RESULTS = _FOLDER / "work.json"

_ENGINES = {protocol: name for name, protocols in PROTOCOLS.items() for protocol in protocols}
_DEADLINE_SECONDS = 1800

NETWORKS = MODELS | {
    HEAD.model: HEAD.network,
    DEEP.model: DEEP.network,
    "CNN 20/100/600 on 64 x 64, max": MILLION,
    "wide kernels": Network((8, 28, 28), (Conv2d(64, 9, stride=2), ReLU(), Flatten(), Linear(2))),
}
"""By the names in rows."""


@dataclass(frozen=True)
class Cell:
    """One verification."""

    model: str
    protocol: str
    hospitals: int
    samples: int
    projected: bool
    panel: int | None = None

    @property
    def sizes(self) -> VerificationSizes:
        """What decides its work."""
        steps = plan(NETWORKS[self.model], 255, PROJECTED if self.projected else CHECKED)
        return VerificationSizes(steps, self.hospitals, self.samples, self.panel, self.projected)

    def prices(self) -> list[int]:
        """What each rate is multiplied by, in the order of `price.Rates`."""
        work = self.sizes.work(_ENGINES[self.protocol])
        return [1, work.products, work.comparisons, self.sizes.inputs]


@dataclass(frozen=True)
class Row:
    """A verification, and what it cost."""

    cell: Cell
    cpu_s: float
    mb: float
    source: str
    """The file that has it."""


CELLS = [
    *(Cell(model, "aby3", 5, 13, False) for model in MODELS if not model.startswith("LeNet")),
    Cell("small CNN, average", "aby3", 10, 8, False),
    *(Cell(HEAD.model, protocol, 5, 16, False) for protocol in _ENGINES),
    *(Cell("wide kernels", protocol, 3, 8, False) for protocol in _ENGINES),
    *(Cell("LeNet 20/50/500, max", protocol, 5, 8, True) for protocol in _ENGINES),
    *(Cell("LeNet 20/50/500, average", protocol, 3, 16, True) for protocol in _ENGINES),
    *(Cell("CNN 20/100/600 on 64 x 64, max", protocol, 3, 4, True) for protocol in _ENGINES),
]
"""Those of SPU that mpc_grid has too are measured again: there its first run of a shape compiles, as in no other round.
"""


def measure(cell: Cell) -> Row:
    """One verification by all nodes on this machine, compiled before; raises RuntimeError where a verdict differs."""
    network = NETWORKS[cell.model]
    settings = Settings.load()
    name = _ENGINES[cell.protocol]
    # the layout as priced, whatever a busy machine makes of a round trip
    runner = MpSpdz(settings, Profile.LAN) if name == MpSpdz.name else engine(name, settings)
    nodes = PROTOCOLS[name][cell.protocol]
    task, payloads = random_round(network, cell.hospitals, cell.samples)
    task = replace(task, rule=replace(task.rule, panel=cell.panel))
    model = rule.capped(task.previous_model)
    expected: tuple[tuple[bool, ...], int]
    if cell.projected:
        task = large = ProjectedTask(task.hospitals, network, task.rule, model, SEED)
        expected = reference_projected.verify(large, payloads)
    else:
        task = replace(task, previous_model=model)
        expected = reference.verify(task, payloads)
    runner.prepare(cell.protocol, task)
    with tempfile.TemporaryDirectory() as folder:
        parties = make_parties(nodes, Path(folder), _DEADLINE_SECONDS)
        outputs = outcomes_of(runner, cell.protocol, task, payloads, parties)
    verified = [output for output in outputs if isinstance(output, VerifyOutput)]
    if [(output.accepted, output.budget) for output in verified] != [expected] * nodes:
        raise RuntimeError(f"{cell}: got {outputs}, want {expected} of each node")
    stats = [output.stats for output in verified]
    cpu = sum(party.cpu_seconds for party in stats)
    return Row(cell, round(cpu, 2), round(sum(party.bytes_sent for party in stats) / 1e6, 1), RESULTS.name)


def kept() -> list[Row]:
    """What results/work.json has measured itself."""
    rows = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    fields = ("model", "protocol", "hospitals", "samples", "projected", "panel")
    return [
        Row(Cell(*(row[field] for field in fields)), row["cpu_s"], row["mb"], RESULTS.name)
        for row in rows
        if row["source"] == RESULTS.name
    ]


def others() -> Iterator[Row]:
    """What the other benchmarks have measured, without delays between the nodes, without what compiles first."""
    for row in _rows("mpc.json"):
        if row["protocol"] in PROTOCOLS.get(row["engine"], {}) and row["profile"] != "wan" and not row["round_trip_ms"]:
            model = row["model"] if row["pooling"] == "none" else f"{row['model']}, {row['pooling']}"
            hospitals = row["models"] - 1
            projected = row["mode"] == "large"
            cell = Cell(model, row["protocol"], hospitals, row["images"] // hospitals, projected)
            yield Row(cell, row["cpu_s"], row["mb"], "mpc.json")
    for row in _rows("panels.json"):
        cell = Cell(row["model"], row["protocol"], row["hospitals"], row["samples"], False, row["panel"])
        yield Row(cell, row["cpu_s"], row["mb"], "panels.json")
    for row in _rows("mpc_grid.json"):
        if row["layout"] == "lan":
            hospitals = row["hospitals"]
            cell = Cell(row["model"], row["protocol"], hospitals, row["images_evaluated"] // hospitals, False)
            yield Row(cell, row["cpu_s"], row["mb"], "mpc_grid.json")


def fitted(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Rates of one protocol by what they are of: the least squares of the ratios' logarithms, none negative."""
    amounts = np.array([row.cell.prices() for row in rows], float)
    sent = amounts.copy()
    # a sum of products is sent once, and what is narrowed afterwards counts there
    sent[:, 1] = 0
    return {
        "cpu_seconds": _rates(amounts, np.array([row.cpu_s for row in rows])),
        "bytes_sent": _rates(sent, np.array([row.mb * 1e6 for row in rows])),
    }


def _rates(amounts: Any, measured: Any) -> dict[str, float]:
    from scipy.optimize import least_squares, nnls

    first, _ = nnls(amounts / measured[:, None], np.ones(len(measured)))
    used = [index for index, rate in enumerate(first) if rate > 0]

    def misses(logarithms: Any) -> Any:
        return np.log(amounts[:, used] @ np.exp(logarithms)) - np.log(measured)

    rates = np.zeros(amounts.shape[1])
    rates[used] = np.exp(least_squares(misses, np.log(first[used])).x)
    return dict(zip(("start", "product", "comparison", "input"), (float(f"{rate:.3g}") for rate in rates), strict=True))


@cache
def _rows(name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((_FOLDER / name).read_text())["rows"]
    return rows


def _projecting() -> float:
    row = _rows("large.json")[0]
    numbers = row["parameters"] * row["hospitals"] * (row["nodes"] - 1)
    return float(f"{row['projections']['cpu_s_per_party'] / numbers:.3g}")


def write(measured: Sequence[Row]) -> None:
    """The prices, and every row with what they say of it."""
    rows = [*others(), *measured]
    protocols = {protocol: fitted([row for row in rows if row.cell.protocol == protocol]) for protocol in _ENGINES}
    prices = {
        "machine": f"the {psutil.cpu_count()} cores ({platform.machine()}) on which it was measured",
        "projecting_cpu_seconds": _projecting(),
        "protocols": protocols,
    }
    write_atomic(price.FILE, (json.dumps(prices, indent=2) + "\n").encode())
    plain = [_plain(row, protocols[row.cell.protocol]) for row in rows]
    write_atomic(RESULTS, (json.dumps({"rows": plain}, indent=2) + "\n").encode())


def _plain(row: Row, prices: dict[str, dict[str, float]]) -> dict[str, Any]:
    work = row.cell.sizes.work(_ENGINES[row.cell.protocol])
    inputs = row.cell.sizes.inputs
    cpu, sent = (price.Rates(**prices[resource]).total(work, inputs) for resource in ("cpu_seconds", "bytes_sent"))
    return {
        **asdict(row.cell),
        "products": work.products,
        "comparisons": work.comparisons,
        "inputs": inputs,
        "cpu_s": row.cpu_s,
        "cpu_s_by_prices": round(cpu, 3),
        "mb": row.mb,
        "mb_by_prices": round(sent / 1e6, 2),
        "source": row.source,
    }


def main() -> None:
    """Measure what is missing, each written as soon as it is known, and fit."""
    measured = kept()
    write(measured)
    for cell in CELLS:
        if cell not in [row.cell for row in measured]:
            measured.append(measure(cell))
            typer.echo(measured[-1])
            write(measured)


if __name__ == "__main__":
    main()
