"""What the large-model mode costs a node.

The mean of component sums, and the projections, beside numpy's sum of the plain updates. The models' evaluation under
encryption costs what it does in the full mode: `benchmarks.mpc`.

Every party is a process of its own that reads encrypted components from files, as a node does; what they say and lend
one another lies in a folder, sealed as in a round. `python -m benchmarks.large [--parameters 11000000] [--hospitals 10]
[--nodes 3]`; needs about 8 * parameters * hospitals * (nodes + 1) bytes of disk.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import resource
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import typer
from nacl.public import PrivateKey

from pipeline.domain import Address, Context, HospitalName, NodeName, RoundId, Sha256
from pipeline.evidence.canonical import sha256
from pipeline.host.files import write_atomic
from pipeline.host.secret import Secret
from pipeline.mpc import mean
from pipeline.mpc.envelope import Envelope
from pipeline.mpc.mean import BLOCK, LargeComponents, Sums
from pipeline.mpc.projections import project
from pipeline.mpc.sharing import Vector, component_digest, held_by
from pipeline.mpc.spool import Part, spool
from pipeline.round.opened_envelopes import OpenedEnvelopes

RESULTS = Path(__file__).parent / "results" / "large.json"

_CONTEXT = Context(0, Address("benchmark"), Sha256("0" * 64), RoundId(1), Sha256("0" * 64))
_POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Work:
    """One measurement: its sizes and the folder that holds its files."""

    folder: Path
    parameters: int
    hospitals: int
    nodes: int

    @property
    def names(self) -> tuple[HospitalName, ...]:
        """The hospitals, all of them accepted."""
        return tuple(HospitalName(f"hospital-{number}") for number in range(self.hospitals))

    @property
    def node_names(self) -> tuple[NodeName, ...]:
        """The nodes."""
        return tuple(NodeName(f"node-{number}") for number in range(self.nodes))

    @property
    def keep(self) -> OpenedEnvelopes:
        """Where every party finds the components; its key is public by design."""
        return OpenedEnvelopes(self.folder / "opened", Secret(bytes(32)))

    def deal(self) -> None:
        """Write every hospital's update and its components."""
        for number, hospital in enumerate(self.names):
            generator = np.random.default_rng(number)
            update = generator.integers(-(1 << 12), 1 << 12, self.parameters, dtype=np.int64)
            update.tofile(self.folder / f"{hospital}-update")
            for component in range(1, self.nodes):
                mask = generator.integers(-(2**63), 2**63, self.parameters, dtype=np.int64)
                update -= mask
                self._put(hospital, component, mask)
            self._put(hospital, 0, update)

    def seal(self) -> None:
        """Write the envelope of the first hospital for the first node."""
        parts = {index: part[:] for index, part in self.held(0)[self.names[0]].items()}
        self.sealed.write_bytes(self.envelope(0).seal(parts, _key(0).public_key))
        (self.folder / "digests").write_text(
            json.dumps({index: component_digest(part) for index, part in parts.items()})
        )

    def envelope(self, node: int) -> Envelope:
        """What the first hospital's envelope for a node is meant for."""
        return Envelope(_CONTEXT, self.names[0], self.node_names[node], held_by(node, self.nodes), self.parameters)

    @property
    def sealed(self) -> Path:
        """Where it is."""
        return self.folder / "envelope"

    def held(self, index: int) -> LargeComponents:
        """What a node holds, on disk."""
        components: dict[HospitalName, dict[int, Part]] = {}
        for hospital in self.names:
            parts = (
                (component, self.keep.get(_manifest(hospital), component, self.parameters))
                for component in held_by(index, self.nodes)
            )
            components[hospital] = {component: part for component, part in parts if part is not None}
        return components

    def _put(self, hospital: HospitalName, component: int, words: Vector) -> None:
        self.keep.put(_manifest(hospital), component, len(words), [words], component_digest(words))


@dataclass(frozen=True)
class _FolderExchange:
    work: Work
    index: int

    def say(self, sums: Sums) -> Mapping[NodeName, Sums]:
        """Write what this node sums beside what the others write."""
        nodes = self.work.node_names
        write_atomic(self.work.folder / f"{nodes[self.index]}-said", json.dumps(sums.body()).encode())
        said = {}
        for index, node in enumerate(nodes):
            body = json.loads(_awaited(self.work.folder / f"{node}-said"))
            said[node] = Sums.parse(body, node, index, len(nodes), self.work.parameters)
        return said

    def lend(self, node: NodeName, component: int, number: int, words: Vector) -> None:
        """Seal a block into the folder."""
        data = _lent(node, component, number, len(words)).seal({component: words}, _key(component).public_key)
        write_atomic(self.work.folder / f"{self.work.node_names[self.index]}-to-{node}-{number}", data)

    def borrow(self, holder: NodeName, component: int, number: int, digest: Sha256, size: int) -> Vector:
        """Open a block from the folder."""
        me = self.work.node_names[self.index]
        data = _awaited(self.work.folder / f"{holder}-to-{me}-{number}")
        return _lent(me, component, number, size).unseal(data, _key(component))[component]


def _lent(node: NodeName, component: int, number: int, size: int) -> Envelope:
    return Envelope(_CONTEXT, HospitalName(f"sum/{number}"), node, (component,), size)


def _manifest(hospital: HospitalName) -> Sha256:
    return sha256(hospital.encode())


def _key(node: int) -> PrivateKey:
    # public by design: every party of the measurement can seal for every other
    return PrivateKey(bytes([node + 1]) * 32)


def _awaited(path: Path) -> bytes:
    while not path.exists():
        time.sleep(_POLL_SECONDS)
    return path.read_bytes()


def _mean(work: Work, index: int) -> None:
    nodes = work.node_names
    with (work.folder / f"total-{index}").open("wb") as output, spool(work.folder / nodes[index]) as kept:
        mean.open_sum(
            work.held(index),
            work.names,
            work.parameters,
            nodes,
            nodes[index],
            _FolderExchange(work, index),
            kept,
            output,
        )


def _projections(work: Work, index: int) -> None:
    held = work.held(index)
    vectors = [held[hospital][component] for hospital in work.names for component in held_by(index, work.nodes)]
    project(vectors, work.parameters, Sha256("5e" * 32))


def _deal(work: Work, _: int) -> None:
    # as sealing, in a process of its own: whoever it started would be charged with its memory
    work.deal()


def _seal(work: Work, _: int) -> None:
    work.seal()


def _intake(work: Work, index: int) -> None:
    keep = OpenedEnvelopes(work.folder / work.node_names[index], Secret.generate())
    first = work.names[0]
    digests = json.loads((work.folder / "digests").read_text())
    with work.sealed.open("rb") as sealed:
        pieces = work.envelope(index).opened(sealed, work.sealed.stat().st_size, _key(index))
        for component, component_pieces in groupby(pieces, key=itemgetter(0)):
            keep.put(
                _manifest(first),
                component,
                work.parameters,
                (words for _, words in component_pieces),
                Sha256(digests[str(component)]),
            )


def _numpy(work: Work, _: int) -> None:
    with (work.folder / "total-numpy").open("wb") as output:
        for start in range(0, work.parameters, BLOCK):
            size = min(BLOCK, work.parameters - start)
            updates = [
                np.fromfile(work.folder / f"{name}-update", np.int64, size, offset=8 * start) for name in work.names
            ]
            output.write(np.sum(updates, axis=0).tobytes())


def _nothing(_work: Work, _index: int) -> None:
    return


_STEPS = {
    "deal": _deal,
    "mean": _mean,
    "seal": _seal,
    "intake": _intake,
    "projections": _projections,
    "numpy": _numpy,
    "nothing": _nothing,
}


def _party(step: str, work: Work, index: int, results: Any) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.monotonic()
    _STEPS[step](work, index)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    results.put({"cpu": cpu, "wall": time.monotonic() - started, "rss": after.ru_maxrss * 1024})


def run(step: str, work: Work, parties: int) -> list[dict[str, float]]:
    """What a step cost each of its parties, all at the same time."""
    spawn = multiprocessing.get_context("spawn")
    results = spawn.Queue()
    processes = [spawn.Process(target=_party, args=(step, work, index, results)) for index in range(parties)]
    for process in processes:
        process.start()
    costs = [results.get() for _ in processes]
    for process in processes:
        process.join()
    return costs


def measure(work: Work) -> dict[str, Any]:
    """Deal, run every step, compare the totals."""
    run("deal", work, 1)
    run("seal", work, 1)
    taken = run("intake", work, 1)[0]
    nothing = run("nothing", work, 1)[0]
    plain = run("numpy", work, 1)[0]
    opened = run("mean", work, work.nodes)
    projected = run("projections", work, 1)[0]
    expected = (work.folder / "total-numpy").read_bytes()
    sent = sum(path.stat().st_size for path in work.folder.glob("*-to-*"))
    cpu = sum(party["cpu"] for party in opened)
    return {
        "parameters": work.parameters,
        "hospitals": work.hospitals,
        "nodes": work.nodes,
        "cores": psutil.cpu_count(),
        "machine": platform.machine(),
        "mean": {
            "cpu_s_all_parties": round(cpu, 2),
            "cpu_s_per_party": round(cpu / work.nodes, 2),
            "wall_s": round(max(party["wall"] for party in opened), 2),
            "rss_mb_per_party": _megabytes(max(party["rss"] for party in opened)),
            "mb_sent_per_party": _megabytes(sent / work.nodes),
            "equal_to_numpy": all(
                (work.folder / f"total-{index}").read_bytes() == expected for index in range(work.nodes)
            ),
        },
        "projections": {
            "cpu_s_per_party": round(projected["cpu"], 1),
            "rss_mb_per_party": _megabytes(projected["rss"]),
        },
        "intake_of_one": {"cpu_s": round(taken["cpu"], 2), "rss_mb": _megabytes(taken["rss"])},
        "numpy": {"cpu_s": round(plain["cpu"], 2), "rss_mb": _megabytes(plain["rss"])},
        "imports_rss_mb": _megabytes(nothing["rss"]),
        "ratios": {
            "mean_per_party_over_numpy": round(cpu / work.nodes / plain["cpu"], 1),
            "projections_per_party_over_numpy": round(projected["cpu"] / plain["cpu"], 1),
        },
    }


def _megabytes(size: float) -> int:
    return round(size / 1e6)


def main(
    parameters: Annotated[int, typer.Option(min=1)] = 11_000_000,
    hospitals: Annotated[int, typer.Option(min=3)] = 10,
    nodes: Annotated[int, typer.Option(min=3, max=4)] = 3,
) -> None:
    """Measure, print and write results/large.json."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Work(Path(folder), parameters, hospitals, nodes))
    before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"rows": []}
    sizes = ("parameters", "hospitals", "nodes")
    rows = [row for row in before["rows"] if any(row[size] != result[size] for size in sizes)] + [result]
    ordered = sorted(rows, key=lambda row: [row[size] for size in sizes])
    write_atomic(RESULTS, (json.dumps({"rows": ordered}, indent=2) + "\n").encode())
    typer.echo(json.dumps(result, indent=2))


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    app()
