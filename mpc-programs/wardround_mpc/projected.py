"""In the place of the chain of updates: range, size and direction of every update by its projections.

They are few, so it runs from end to end before the other chain begins.
"""

from __future__ import annotations

from Compiler.library import for_range
from Compiler.types import cint, regint, sint

from pipeline.mpc import rule
from pipeline.mpc.sorting import network as sorting_network
from wardround_mpc.batches import View
from wardround_mpc.bits import is_zero, narrow, negative
from wardround_mpc.inputs import matrix
from wardround_mpc.selection import Ranking, concatenated, parts, sort

K = rule.PROJECTIONS
LARGEST_SQUARE = K * rule.PROJECTION_CAP**2
LARGEST = LARGEST_SQUARE >> rule.PROJECTION_BITS
if rule.VANISHING * LARGEST >= 1 << 62:
    raise ValueError(f"{K} projections: the comparison of squared norms could wrap")


class Projected:
    """What is computed of each of n updates; a vector of n unless a line says otherwise."""

    def __init__(self, task, inputs):
        self.n, self.inputs, self.middle = task.hospitals, inputs, rule.lower_median(task.hospitals)
        self.valid = self._valid(task)
        """Of the owners' samples."""
        self.size = self._size()
        """1 where an update keeps range and size."""
        self.direction = self._direction()

    def following(self, accepted, before):
        """The next budget, secret; `accepted` is open, and `before` the budget that stays when nobody is."""
        n = self.n
        opened = cint.Array(n)
        opened.assign_vector(accepted)
        # the estimates' order is known, among the accepted it is a matter of counting
        count = sum(opened[j] for j in range(n))
        ranks = [sum(self.ranking.before[j, i] * opened[j] for j in range(n) if j != i) for i in range(n)]
        # twice a rank, so that the lower median of an even or odd count needs no division: less count - 1 it is 0 or -1
        twice = 2 * concatenated(ranks) - (count - 1).expand_to_vector(n)
        at_most, below = parts(negative(concatenated([twice - 1, twice + 1]), 2 * n + 1), 2, n)
        chosen = ((at_most - below) * self.estimates * opened.get_vector()).sum()
        nobody = cint(regint(count) == 0)
        return narrow(9 * chosen, 2, False, 1 << 45) + nobody * before

    def _valid(self, task):
        bad = sum(self.inputs.count_outside(*limits) for limits in self.inputs.of_samples)
        return is_zero(bad, task.samples * (task.inputs + task.network.classes + 1))

    def _size(self):
        n, projections = self.n, self.inputs.projections
        cap = rule.PROJECTION_CAP
        bad = self.inputs.count_outside(projections, K, 1 - cap, cap - 1, (2 * cap).bit_length())
        in_range = is_zero(bad, K)
        squares = concatenated([self._rows(j, 1).direct_mul_trans(self._rows(j, 1)) for j in range(n)]) * in_range
        estimates = narrow(squares, rule.PROJECTION_BITS, False, LARGEST_SQUARE)
        self.ranking = Ranking(parts(estimates, n, 1), LARGEST)
        median = self.ranking.between(self.middle, self.middle + 1)
        has_budget, budget = self.inputs.has_budget, self.inputs.budget
        several = rule.LARGEST_OVER_MEDIAN * median
        gap = has_budget * (budget - several) + several - median
        least = median + negative(gap, 1 << 52) * gap
        left = rule.PROJECTED_LEFT * several
        left = left + has_budget * (rule.PROJECTED_RIGHT * budget - left)
        size_bits = concatenated(
            [
                left.expand_to_vector(n) - rule.PROJECTED_LEFT * estimates,
                rule.VANISHING * estimates - least.expand_to_vector(n),
                rule.PROJECTED_RIGHT * rule.NORM_CAP - rule.PROJECTED_LEFT * estimates,
            ]
        )
        within, noticeable, capped = parts(1 - negative(size_bits, 1 << 57), 3, n)
        size = in_range * within * (noticeable * capped)
        self.squares, self.estimates = squares * size, estimates * size
        return size

    def _direction(self):
        n, projections = self.n, self.inputs.projections
        kept = sint.Array(n)
        kept.assign_vector(self.size)

        @for_range(n)
        def _(j):
            projections.assign_vector(projections.get_vector(j * K, K) * kept[j].expand_to_vector(K), j * K)

        layers = sorting_network(n, frozenset({self.middle}))
        wires = [projections.get_vector(j * K, K) for j in range(n)]
        median = sint.Array(K)
        median.assign_vector(sort(wires, layers, 2 * rule.PROJECTION_CAP - 2)[self.middle])
        row = matrix(median, 0, 1, K)
        products, square = self._rows(0, n).direct_mul_trans(row), row.direct_mul_trans(row)
        asked = concatenated([products, self.squares, square])
        narrowed = View.holding(narrow(asked, rule.PROJECTED_DIRECTION_BITS, False, 1 << 50), (2 * n + 1,))
        p, s, q = (narrowed.part(0, first, count).vector() for first, count in ((0, n), (n, n), (2 * n, 1)))
        excess = rule.DIRECTION_LEFT * p * p - rule.DIRECTION_RIGHT * s * q.expand_to_vector(n)
        shorter = negative(self.squares - square.expand_to_vector(n), 1 << 50)
        margin, least = self.inputs.direction_margin.expand_to_vector(n), rule.LEAST_PROJECTED_MARGIN
        allowed = margin + shorter * (least - margin)
        against, beyond = parts(negative(concatenated([p + allowed, -excess]), (1 << 62) - 1), 2, n)
        return 1 - against * beyond

    def _rows(self, first, count):
        return matrix(self.inputs.projections, first * K, count, K)
