"""What one verification asks of its engine and nodes, counted from a study's sizes: what the programs do, step by step.

Left out is what a handful of numbers per hospital takes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline.domain import tries
from pipeline.layers import Plan, Work
from pipeline.mpc import rule
from pipeline.mpc.sorting import network as sorting_network


@dataclass(frozen=True)
class Habits:
    """Where the engines' programs do the same in different ways."""

    merges_kernels: bool
    """Average pooling is summed in the convolution's kernel, not in its inputs."""
    compares_pairs: bool
    """Counts of right answers are ordered by all their pairs, not by a sorting network."""


HABITS = {
    "mp-spdz": Habits(merges_kernels=False, compares_pairs=True),
    "spu": Habits(merges_kernels=True, compares_pairs=False),
}
"""By engine: mpc-programs/wardround_mpc, mpc-programs/spu."""


@dataclass(frozen=True)
class VerificationSizes:
    """The sizes that decide what a verification takes."""

    plan: Plan
    hospitals: int
    samples: int
    """Of each hospital."""
    panel: int | None
    """Hospitals on whose samples each model is tried; None: all."""
    projected: bool
    """Whether size and direction are judged on projections (`mode: large`)."""

    def work(self, engine: str) -> Work:
        """Products and comparisons of everything."""
        habits = HABITS[engine]
        times = tries(self.hospitals, self.samples, self.panel)
        return self.plan.work(habits.merges_kernels) * times + self._updates() + self._peers(habits)

    @property
    def inputs(self) -> int:
        """Numbers that enter: updates with their projections, samples, labels, and the model in force."""
        size = self.plan.network.size
        projections = rule.PROJECTIONS if self.projected else 0
        return size + self.hospitals * (projections + size + self._sample_numbers)

    def projected_numbers(self, nodes: int) -> int:
        """Of components that all nodes together project, each those that it holds, outside the engine."""
        held = nodes - 1
        return self.hospitals * self.plan.network.size * nodes * held if self.projected else 0

    @property
    def _sample_numbers(self) -> int:
        network = self.plan.network
        return self.samples * (math.prod(network.input_shape) + network.classes)

    def _updates(self) -> Work:
        """Ranges, norms, median, and inner products with it."""
        hospitals = self.hospitals
        judged = rule.PROJECTIONS if self.projected else self.plan.network.size
        # Both ends are one: MP-SPDZ adds bits once for them, and SPU's two signs, which choose nothing, cost about as
        # much. A label's row is one more number.
        ranges = hospitals * (judged + self._sample_numbers + self.samples)
        middle = rule.lower_median(hospitals)
        sorting = _comparators(hospitals, range(middle, middle + 1)) * judged
        of_norms = 3 * hospitals * (hospitals - 1)
        # squared norms, updates that are out, and those with the median
        products = 3 * hospitals * judged
        return Work(products + sorting, ranges + sorting + of_norms)

    def _peers(self, habits: Habits) -> Work:
        """The counts' trimmed sums over the owners, and every two models' sums."""
        hospitals = self.hospitals
        kinds = 1 + self.plan.network.classes
        owners, rows = (hospitals, hospitals + 1) if self.panel is None else (self.panel, 2 * hospitals)
        trimmed = rule.owners_trimmed(owners)
        pairs = owners * (owners - 1) // 2
        compared = pairs if habits.compares_pairs else _comparators(owners, range(trimmed, owners - trimmed))
        ordered = compared * rows * kinds
        return Work(ordered, ordered + (self._near() if habits.compares_pairs else 0))

    def _near(self) -> int:
        """Of every two models, by each two classes or, with a panel, by the class that each answers worst."""
        hospitals, classes = self.hospitals, self.plan.network.classes
        if self.panel is None:
            return hospitals**2 * (1 + classes**2)
        return hospitals**2 * 2 + 2 * hospitals * (classes - 1)


def _comparators(wires: int, wanted: range) -> int:
    return sum(map(len, sorting_network(wires, frozenset(wanted))))
