"""All that a verification reads, compared between its holders."""

from __future__ import annotations

from Compiler.types import sint

from pipeline.mpc import rule
from wardround_mpc import holders
from wardround_mpc.batches import View
from wardround_mpc.reading import Source


class Inputs:
    """Secret arrays, and what a hospital's numbers must lie within.

    (array, numbers per hospital, lowest, highest, bits of their gap).
    """

    def __init__(self, task):
        n, v, size, classes = task.hospitals, task.samples, task.network.size, task.network.classes
        if (rule.LARGEST_OVER_MEDIAN + 1) * size * rule.COORDINATE_CAP**2 >= 1 << 62:
            raise ValueError(f"{size} parameters: the comparison of squared norms could wrap")
        source = Source()
        self.has_budget, self.budget, self.direction_margin, *self.percentages, lowest, highest = source.read(9)
        self.model = source.read(size)
        self.updates = source.read(n * size)
        self.samples = source.read(n * v * task.inputs)
        self.labels = source.read(n * v * classes)
        holders.check(source.arrays)
        rows = View.of(self.labels, (n * v, classes))
        rows = View.holding(sum(rows.part(1, c, 1).vector() for c in range(classes)), (n * v,)).array
        self.of_updates = [
            (
                self.updates,
                size,
                1 - rule.COORDINATE_CAP,
                rule.COORDINATE_CAP - 1,
                (2 * rule.COORDINATE_CAP).bit_length(),
            )
        ]
        inputs = (self.samples, v * task.inputs, lowest, highest, (2 * task.largest_input).bit_length())
        self.of_samples = [inputs, (self.labels, v * classes, 0, 1, 1), (rows, v, 1, 1, 1)]

    def update(self, j, size):
        """One hospital's, as a vector."""
        return self.updates.get_vector(j * size, size)


def matrix(array, offset, rows, columns):
    """Part of an array in memory."""
    return sint.Matrix(rows, columns, address=array.address + offset)
