"""All that a verification reads, compared between its holders."""

from __future__ import annotations

from Compiler.library import for_range
from Compiler.types import sint

from pipeline.mpc import rule
from wardround_mpc import holders
from wardround_mpc.batches import View
from wardround_mpc.bits import outside
from wardround_mpc.reading import Source, chunked
from wardround_mpc.selection import concatenated, parts


class Inputs:
    """Secret arrays, and what a hospital's numbers must lie within.

    (array, numbers per hospital, lowest, highest, bits of their gap).
    """

    def __init__(self, task, projections=0):
        """`projections`: how many of each update stand before all else, where size and direction are theirs."""
        n, v, size, classes = task.hospitals, task.samples, task.network.size, task.network.classes
        self.task = task
        source = Source()
        self.projections = source.read(n * projections) if projections else None
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

    def count_outside(self, array, per, low, high, bits):
        """Per hospital how many of its `per` values lie outside; as many hospitals at once as fit one step."""
        n = self.task.hospitals
        counts = sint.Array(n)
        at_once = self.task.hospitals_at_once(per)
        counts.assign_all(0)

        @for_range(n // at_once)
        def _(group):
            def step(start, size):
                marks = outside(array.get_vector(group * (at_once * per) + start, size), low, high, bits)
                if at_once == 1:
                    counts[group] += marks.sum()
                else:
                    counts.assign_vector(
                        concatenated([hospital.sum() for hospital in parts(marks, at_once, per)]), group * at_once
                    )

            chunked(at_once * per, step)

        return counts.get_vector()

    def update(self, j, size):
        """One hospital's, as a vector."""
        return self.updates.get_vector(j * size, size)


def matrix(array, offset, rows, columns):
    """Part of an array in memory."""
    return sint.Matrix(rows, columns, address=array.address + offset)
