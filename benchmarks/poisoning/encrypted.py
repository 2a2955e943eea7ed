"""Plays attacked studies through the real engines beside the reference: `python -m benchmarks.poisoning.encrypted`.

The rounds of a study go on from the reference's verdicts; each is also computed by an engine's parties on this machine,
on shares of the very updates and samples, and every accept bit, budget and aggregate is compared. Minutes; writes
results/poisoning-encrypted.json.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.poisoning.campaign import commit
from benchmarks.poisoning.cells import CELLS, FIVE
from benchmarks.poisoning.own_rules import WARDROUND
from benchmarks.poisoning.simulate import Case, Observed, Simulation
from pipeline.host.files import write_atomic
from pipeline.mpc import reference, rule
from pipeline.mpc.engines import engine
from pipeline.mpc.engines.base import AggregateOutput, AggregateTask, Engine, VerifyOutput
from pipeline.site.settings import Settings
from pipeline.study.fields import PROTOCOLS
from tests.support.parties import run_parties

RESULTS = Path(__file__).parent.parent / "results" / "poisoning-encrypted.json"

SAMPLE = (
    *(
        ("heart", attack, "mp-spdz", "replicated-ring")
        for attack in ("label_flip", "targeted_flip+fit", "rule_aware_targeted")
    ),
    ("heart", "label_flip", "spu", "aby3"),
    ("base", "targeted_flip+fit", "mp-spdz", "replicated-ring"),
)
"""Cell whose setting it is, attack, engine, protocol."""


@dataclass
class Compared:
    """How a study's rounds under encryption compare with the reference's."""

    case: Case
    runner: Engine
    protocol: str
    folder: Path
    rounds: int = 0
    rejected: int = 0
    """Attackers' and honest updates that the reference rejects."""
    differing: int = 0
    """Accept bits, budgets and aggregates that differ, over all rounds and nodes."""
    cpu_s: float = 0.0

    def observe(self, seen: Observed) -> None:
        """Compute the round again."""
        self.rounds += 1
        self.rejected += seen.verification.accepted.count(False)
        nodes = PROTOCOLS[self.runner.name][self.protocol]
        folder = self.folder / str(seen.number)
        for output in run_parties(self.runner, self.protocol, seen.task, seen.payloads, folder / "verify", count=nodes):
            if not isinstance(output, VerifyOutput):
                raise TypeError(f"got {type(output).__name__} of a verification")
            self.cpu_s += output.stats.cpu_seconds
            self.differing += sum(a != b for a, b in zip(output.accepted, seen.verification.accepted, strict=True))
            self.differing += output.budget != seen.verification.budget
        accepted = tuple(name for name, bit in zip(seen.task.hospitals, seen.verification.accepted, strict=True) if bit)
        if len(accepted) < rule.FEWEST_ACCEPTED:
            return
        work = AggregateTask(accepted, seen.task.network.size)
        total, count = reference.aggregate(work, seen.payloads)
        for output in run_parties(self.runner, self.protocol, work, seen.payloads, folder / "aggregate", count=nodes):
            if not isinstance(output, AggregateOutput):
                raise TypeError(f"got {type(output).__name__} of an aggregation")
            self.cpu_s += output.stats.cpu_seconds
            self.differing += int((output.total != total).sum()) + (output.count != count)

    @property
    def row(self) -> dict[str, object]:
        """For the results."""
        measured = {
            "rounds": self.rounds,
            "rejected": self.rejected,
            "differing": self.differing,
            "cpu_s": round(self.cpu_s, 1),
        }
        return asdict(self.case) | {"engine": self.runner.name, "protocol": self.protocol} | measured


def compare(case: Case, runner: Engine, protocol: str, folder: Path) -> Compared:
    """Play the whole study and compute each of its rounds under encryption too."""
    compared = Compared(case, runner, protocol, folder)
    Simulation(case, watch=compared.observe).run()
    return compared


def main(out: Annotated[Path, typer.Option(help="rows to write")] = RESULTS) -> None:
    """Compare the sample and write the rows."""
    rows = []
    for cell, attack, name, protocol in SAMPLE:
        case = replace(CELLS[cell].setting, attack=attack, defence=WARDROUND, seed=FIVE[0])
        with tempfile.TemporaryDirectory() as folder:
            rows.append(compare(case, engine(name, Settings.load()), protocol, Path(folder)).row)
        typer.echo(json.dumps(rows[-1]))
    lines = ",\n".join(map(json.dumps, rows))
    write_atomic(out, f'{{"commit": "{commit()}",\n"rows": [\n{lines}\n]}}\n'.encode())


if __name__ == "__main__":
    typer.run(main)
