"""The shape of one computation: the one thing, beside the sources, that decides the bytecode."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from Compiler.program import Program

from pipeline.layers import Network, Plan, plan
from pipeline.layers.table import from_plain
from wardround_mpc.reading import LONGEST

FILE = "task.json"
"""Written by `pipeline.mpc.engines.mp_spdz_programs` into the folder in which the compiler runs."""


@dataclass(frozen=True)
class Task:
    """Public sizes; no value of a round is among them, so one compilation serves every round of a study."""

    nodes: int
    hospitals: int
    samples: int
    largest_input: int
    network: Network

    @property
    def inputs(self) -> int:
        """Input words of one sample."""
        return math.prod(self.network.input_shape)

    @property
    def samples_per_block(self) -> int:
        """Samples evaluated at once: the largest divisor of all whose activations fit one step."""
        total = self.hospitals * self.samples
        widest = max(self.inputs, *(math.prod(step.raw.shape) for step in self.plan.steps))
        return max(size for size in range(1, total + 1) if total % size == 0 and (size == 1 or size * widest <= LONGEST))

    @property
    def plan(self) -> Plan:
        """The network step by step, with its bounds."""
        return plan(self.network, self.largest_input)


def sizes_of_task() -> dict[str, Any]:
    """Read the task's sizes and set the compiler for its protocol."""
    sizes: dict[str, Any] = json.loads(Path(FILE).read_text())
    program = Program.prog
    # bits of local components instead of masked openings: the fast form of every comparison in Z_2^64
    program.use_split(sizes["nodes"])
    if sizes["nodes"] == 3:
        program.use_unsplit = 1
    return sizes


def load() -> Task:
    """The task of a program on samples, or on the updates of a network."""
    sizes = sizes_of_task()
    return Task(
        nodes=sizes["nodes"],
        hospitals=sizes["hospitals"],
        samples=sizes["samples"],
        largest_input=sizes["largest_input"],
        network=from_plain(sizes["network"]),
    )
