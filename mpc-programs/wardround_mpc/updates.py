"""One chain of the verification: range, size and direction of every update, and the budget that each would give."""

from __future__ import annotations

from Compiler.instructions import conv2ds
from Compiler.library import for_range
from Compiler.types import sint

from pipeline.mpc import rule
from pipeline.mpc.sorting import network as sorting_network
from wardround_mpc.inputs import matrix
from wardround_mpc.lockstep import Floor, Sign
from wardround_mpc.reading import chunked
from wardround_mpc.selection import at_least, concatenated, every_pair, parts, rotated, sort, tally

ANY = (1 << 62) - 1
RING = (1 << 63) - 1
MORE = 9 << (rule.DIRECTION_BITS - 2)
"""Times a norm, and DIRECTION_BITS dropped: 9/4 of it."""


class Updates:
    """What is computed of each of n updates; a vector of n unless a line says otherwise."""

    in_range = None
    valid = None
    """Of the owners' samples."""
    size = None
    """1 where an update keeps range and size."""
    direction = None
    norms = None
    """Squared; without meaning where an update is out of range."""
    products = None
    """With the median update, DIRECTION_BITS dropped; without meaning where `size` is 0."""
    median_square = None
    """One number, DIRECTION_BITS dropped."""
    first = None
    """For by = 1 to n - 1 whether the norm at place j + by comes before the one at j, ties broken by place."""
    budgets = None
    """The next one, should this update's norm be chosen."""

    def __init__(self, task, inputs):
        if (rule.LARGEST_OVER_MEDIAN + 1) * task.network.size * rule.COORDINATE_CAP**2 >= 1 << 62:
            raise ValueError(f"{task.network.size} parameters: the comparison of squared norms could wrap")
        self.task, self.inputs = task, inputs
        self.n, self.parameters, self.middle = task.hospitals, task.network.size, rule.lower_median(task.hospitals)
        self.pairs = [(i, j) for i in range(self.n) for j in range(i + 1, self.n)]

    def judge(self):
        """The chain."""
        n, size = self.n, self.parameters
        if self.task.fits_one_step:
            updates = [self.inputs.update(j, size) for j in range(n)]
            self.norms = concatenated(self._inner_products([(update, update) for update in updates]))
            compared, *more = yield [self._compared_norms(), *self._compared_values(updates)]
            bad, of_pairs = self._outside(more[:-1]), parts(more[-1], len(self.pairs) + n, size)
        else:
            rows = [matrix(self.inputs.updates, j * size, 1, size) for j in range(n)]
            self.norms = concatenated([row.direct_mul_trans(row) for row in rows])
            (compared,) = yield [self._compared_norms()]
            bad = [
                [self.inputs.count_outside(*limits) for limits in kind]
                for kind in (self.inputs.of_updates, self.inputs.of_samples)
            ]
        bad = concatenated([sum(kind) for kind in bad])
        numbers = max(size, self.task.samples * (self.task.inputs + self.task.network.classes + 1))
        # a number may be found outside on both sides, where a difference wraps
        (none,) = yield [Sign(bad - 1, 2 * numbers)]
        self.in_range, self.valid = parts(none, 2, n)
        self.size = self._size(parts(compared, 3 * (n - 1) + 4, n))
        if self.task.fits_one_step:
            median = self._median(updates, of_pairs)
            *products, square = self._inner_products([(vector, median) for vector in [*updates, median]])
            products = concatenated(products)
        else:
            products, square = self._median_products()
        asked = concatenated([products, self.norms, MORE * self.norms, square])
        # an update that is out may be beyond the bound; it is out whatever this says of it
        longer = self.norms - square.expand_to_vector(n)
        floors, shorter = yield [
            Floor(asked, rule.DIRECTION_BITS, False, MORE * rule.NORM_CAP),
            Sign(longer, 2 * rule.NORM_CAP),
        ]
        p, s, self.budgets = parts(floors, 3, n)
        q = floors.get_vector(3 * n, 1)
        self.products, self.median_square = p, q
        excess = rule.DIRECTION_LEFT * p * p - rule.DIRECTION_RIGHT * s * q.expand_to_vector(n)
        margin, least = self.inputs.direction_margin.expand_to_vector(n), rule.LEAST_MARGIN
        allowed = margin + shorter * (least - margin)
        (signs,) = yield [Sign(concatenated([p + allowed, -excess]), ANY)]
        against, beyond = parts(signs, 2, n)
        self.direction = 1 - against * beyond

    def _compared_norms(self):
        # a norm that wrapped belongs to an update out of range: whatever is compared with it counts for nothing
        n, norms, others = self.n, self.norms, range(1, self.n)
        turned = [rotated(norms, by) for by in others]
        limit = self.inputs.budget.expand_to_vector(n)
        asked = [rule.LARGEST_OVER_MEDIAN * other - norms for other in turned]
        asked += [rule.VANISHING * norms - other for other in turned]
        asked += [
            other - norms - sint([int((j + by) % n < j) for j in range(n)])
            for by, other in zip(others, turned, strict=True)
        ]
        asked += [limit - norms, rule.VANISHING * norms - limit, rule.NORM_CAP - norms, norms - 1]
        return Sign(concatenated(asked), ANY)

    def _compared_values(self, updates):
        """Both sides of every range.

        Also of two updates' coordinates whether the first is not larger, and of each whether it is negative.
        """
        asked = []
        for array, _, lowest, highest, _ in self.inputs.of_updates + self.inputs.of_samples:
            values = array.get_vector()
            asked += [Sign(values - lowest, RING), Sign(highest - values, RING)]
        gaps = [updates[i] - updates[j] - 1 for i, j in self.pairs]
        return [*asked, Sign(concatenated(gaps + updates), 2 * rule.COORDINATE_CAP)]

    def _outside(self, marks):
        """Per range and hospital the numbers below, and those above."""
        marks = iter(marks)
        return [
            [
                concatenated([hospital.sum() for hospital in parts(next(marks) + next(marks), self.n, per)])
                for _, per, *_ in kind
            ]
            for kind in (self.inputs.of_updates, self.inputs.of_samples)
        ]

    def _size(self, compared):
        n, middle = self.n, self.middle
        smaller, vanishing, self.first = (compared[kind * (n - 1) : (kind + 1) * (n - 1)] for kind in range(3))
        over, under, beyond_cap, zero = compared[3 * (n - 1) :]
        # in force is the budget, or in a study's first round a multiple of the median norm
        has_budget = self.inputs.has_budget
        given = has_budget.expand_to_vector(n)
        free = (1 - has_budget).expand_to_vector(n)
        in_budget, tiny = given * (1 - over), 1 - given * (1 - under)
        # an update out of range counts as one of norm 0; the median is as large as some number where so many norms are
        turned = [rotated(self.in_range, by) for by in range(1, n)]
        reached = [zero + ok * (1 - small - zero) for ok, small in zip(turned, smaller, strict=True)]
        larger = [ok * far for ok, far in zip(turned, vanishing, strict=True)]
        capped = self.in_range * (1 - beyond_cap)
        by_budget, by_median = in_budget * capped, free * capped
        noticeable = 1 - at_least(n - middle, larger) * tiny
        return (by_budget + at_least(n - middle - 1, reached) * by_median) * noticeable

    def _inner_products(self, pairs):
        """Of pairs of updates, one round for all."""
        size = self.parameters
        products = [sint(size=1) for _ in pairs]
        geometry = (1, 1, 1, size, 1, size, 1, 1, 1, 0, 0, 1)
        conv2ds(
            *(argument for result, pair in zip(products, pairs, strict=True) for argument in (result, *pair, *geometry))
        )
        return products

    def _median(self, updates, of_pairs):
        """The lower median of each coordinate, an update that is out counting as one of zeros."""
        accepted = parts(self.size, self.n, 1)
        kept = [ok.expand_to_vector(self.parameters) for ok in accepted]
        both = {(i, j): (accepted[i] * accepted[j]).expand_to_vector(self.parameters) for i, j in self.pairs}
        values = [ok * update for ok, update in zip(kept, updates, strict=True)]
        negatives = of_pairs[len(self.pairs) :]
        below = [ok * negative for ok, negative in zip(kept, negatives, strict=True)]
        # zeros that stand for an update come before those of one that is in, so that ties have an order
        before = {
            (i, j): both[i, j] * (not_larger - negatives[i] + negatives[j]) + below[i] - below[j] + 1 - kept[i]
            for (i, j), not_larger in zip(self.pairs, of_pairs, strict=False)
        }
        chosen = [tally(bits)[self.middle] if bits else 1 for bits in every_pair(before, self.n)]
        return sum(mark * value for mark, value in zip(chosen, values, strict=True))

    def _median_products(self):
        """Inner products with the median of updates, and the median's own, where they do not fit one step."""
        n, size, updates, kept = self.n, self.parameters, self.inputs.updates, sint.Array(self.n)
        kept.assign_vector(self.size)

        @for_range(n)
        def _(j):
            def step(start, count):
                updates.assign_vector(
                    updates.get_vector(j * size + start, count) * kept[j].expand_to_vector(count), j * size + start
                )

            chunked(size, step)

        median, layers = sint.Array(size), sorting_network(n, frozenset({self.middle}))

        def step(start, count):
            wires = [updates.get_vector(j * size + start, count) for j in range(n)]
            median.assign_vector(sort(wires, layers, 2 * rule.COORDINATE_CAP - 2)[self.middle], start)

        chunked(size, step, longest=20_000)
        row = matrix(median, 0, 1, size)
        return matrix(updates, 0, n, size).direct_mul_trans(row), row.direct_mul_trans(row)
