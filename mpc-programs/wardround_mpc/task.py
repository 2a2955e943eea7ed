"""The shape of one computation: the one thing, beside the sources, that decides the bytecode."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from Compiler.program import Program

from pipeline.layers import Network, Plan, WeightBounds, plan
from pipeline.layers.table import from_plain
from wardround_mpc.reading import LONGEST

FILE = "task.json"
"""Written by `pipeline.mpc.engines.mp_spdz.programs` into the folder in which the compiler runs."""

WIDEST = 1_500_000
"""Activations evaluated at once where rounds are dear: keeps a party under 1 GB."""


@dataclass(frozen=True)
class Task:
    """Public sizes; no value of a round is among them, so one compilation serves every round of a study."""

    nodes: int
    hospitals: int
    samples: int
    largest_input: int
    network: Network
    weights: WeightBounds
    wide: bool = False
    """Whether a round costs more than the memory that saves it (`pipeline.mpc.engines.mp_spdz.profiles`)."""
    panel: int | None = None
    """Hospitals on whose samples each model is tried, those that come next in the circle; None: all."""
    names_condition: bool = False
    """Whether to open how many of the rule's conditions held before one failed, in place of the accept bit."""

    def at_once(self, models: int) -> int:
        """Of so many models those evaluated at once: all, or one."""
        return models if self.wide else 1

    @property
    def inputs(self) -> int:
        """Input words of one sample."""
        return math.prod(self.network.input_shape)

    def hospitals_at_once(self, values: int) -> int:
        """The largest divisor of all hospitals of which so many values each fit one step."""
        return max(
            count
            for count in range(1, self.hospitals + 1)
            if self.hospitals % count == 0 and (count == 1 or count * values <= LONGEST)
        )

    def samples_per_block(self, models: int, samples: int) -> int:
        """Of so many samples those on which so many models are evaluated at once.

        As many as fit one step, in blocks as even as can be.
        """
        widest = max(self.inputs, *(math.prod(step.raw.shape) for step in self.plan.steps))
        longest = WIDEST // models if self.wide else LONGEST
        blocks = -(-samples // max(longest // widest, 1))
        return -(-samples // blocks)

    @property
    def fits_one_step(self) -> bool:
        """Whether all hospitals' updates and samples are compared at once: many comparisons that wait for none."""
        return self.wide and self.hospitals * max(self.network.size, self.samples * self.inputs) <= LONGEST

    @property
    def plan(self) -> Plan:
        """The network step by step, with its bounds."""
        return plan(self.network, self.largest_input, self.weights)


def sizes_of_task() -> dict[str, Any]:
    """Read the task's sizes and set the compiler for its protocol."""
    sizes: dict[str, Any] = json.loads(Path(FILE).read_text())
    program = Program.prog
    # bits of local components instead of masked openings: the fast form of every comparison in Z_2^64
    program.use_split(sizes["nodes"])
    if sizes["nodes"] == 3:
        program.use_unsplit = 1
    return sizes


def load(weights: WeightBounds) -> Task:
    """The task of a program on updates and samples, whose models keep these bounds."""
    sizes = sizes_of_task()
    return Task(
        nodes=sizes["nodes"],
        hospitals=sizes["hospitals"],
        samples=sizes["samples"],
        largest_input=sizes["largest_input"],
        network=from_plain(sizes["network"]),
        weights=weights,
        wide=sizes["profile"] == "wan",
        panel=sizes["panel"],
        names_condition=sizes["names_condition"],
    )
