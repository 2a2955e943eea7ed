"""Order statistics of a few secret numbers by comparing every pair once: few rounds, whatever the number."""

from __future__ import annotations

from Compiler.types import sint

from wardround_mpc.bits import negative


class Ranking:
    """Order of `columns` (vectors of equal size, one statistic per element), ties broken by index."""

    def __init__(self, columns, bound):
        """|difference of two columns| <= bound."""
        self.columns, count, size = columns, len(columns), columns[0].size
        pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
        bits = negative(concatenated([columns[j] - columns[i] for i, j in pairs]), bound)
        later = parts(bits, len(pairs), size)
        self.before = {}
        """(i, j): 1 where column i comes before column j."""
        for (i, j), bit in zip(pairs, later, strict=True):
            self.before[j, i], self.before[i, j] = bit, 1 - bit
        self.ranks = [sum(self.before[j, i] for j in range(count) if j != i) for i in range(count)]

    def between(self, low, high):
        """Sum of the columns with low <= rank < high."""
        count, size = len(self.columns), self.columns[0].size
        below = [rank - low for rank in self.ranks]
        above = [high - 1 - rank for rank in self.ranks]
        out = parts(negative(concatenated(below + above), count), 2 * count, size)
        return sum((1 - under - over) * column for under, over, column in zip(out[:count], out[count:], self.columns, strict=True))


def concatenated(vectors):
    """One vector after the other."""
    whole = sint.Array(sum(vector.size for vector in vectors))
    place = 0
    for vector in vectors:
        whole.assign_vector(vector, place)
        place += vector.size
    return whole.get_vector()


def parts(vector, count, size):
    """`count` vectors of `size` each."""
    whole = sint.Array(count * size)
    whole.assign_vector(vector)
    return [whole.get_vector(place * size, size) for place in range(count)]


def sort(wires, layers, bound):
    """Apply comparator layers to equal-sized vectors in place; |difference of two wires| <= bound."""
    size = wires[0].size
    for layer in layers:
        low = concatenated([wires[i] for i, _ in layer])
        high = concatenated([wires[j] for _, j in layer])
        gap = high - low
        swap = negative(gap, bound) * gap
        for (i, j), smaller, larger in zip(layer, parts(low + swap, len(layer), size), parts(high - swap, len(layer), size), strict=True):
            wires[i], wires[j] = smaller, larger
    return wires
