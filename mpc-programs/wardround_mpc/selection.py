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
        return sum(
            (1 - under - over) * column
            for under, over, column in zip(out[:count], out[count:], self.columns, strict=True)
        )


def concatenated(vectors):
    """One vector after the other."""
    return sint.concat(vectors)


def parts(vector, count, size):
    """`count` vectors of `size` each."""
    return [vector.get_vector(part * size, size) for part in range(count)]


def rotated(vector, by):
    """At place j what stands at place j + by."""
    return concatenated([vector.get_vector((j + by) % vector.size, 1) for j in range(vector.size)])


def every_pair(ordered, count):
    """For each j whether the other ones i come before it.

    `ordered` has (i, j) for i < j, and its complement is (j, i).
    """
    return [[ordered[i, j] if i < j else 1 - ordered[j, i] for i in range(count) if i != j] for j in range(count)]


def tally(bits):
    """Of k vectors of bits k + 1 vectors: 1 where none is 1, where one is, where two are .

    Products in as many rounds as log2(k).
    """
    if len(bits) == 1:
        return [1 - bits[0], bits[0]]
    left, right = tally(bits[: len(bits) // 2]), tally(bits[len(bits) // 2 :])
    # what an index 0 takes part in follows from the sums over the others
    both = {(i, j): left[i] * right[j] for i in range(1, len(left)) for j in range(1, len(right))}
    for i in range(1, len(left)):
        both[i, 0] = left[i] - sum(both[i, j] for j in range(1, len(right)))
    for j in range(1, len(right)):
        both[0, j] = right[j] - sum(both[i, j] for i in range(1, len(left)))
    both[0, 0] = 1 - sum(both.values())
    return [
        sum(product for (i, j), product in both.items() if i + j == count)
        for count in range(len(left) + len(right) - 1)
    ]


def at_least(count, bits):
    """1 where so many of the bits are 1."""
    if count <= 0:
        return 1 - 0 * bits[0] if bits else 1
    return sum(tally(bits)[count:]) if count <= len(bits) else 0 * bits[0] if bits else 0


def every(bits):
    """1 where all of them are 1."""
    while len(bits) > 1:
        pairs = [first * second for first, second in zip(bits[::2], bits[1::2], strict=False)]
        bits = pairs + bits[2 * len(pairs) :]
    return bits[0]


def some(bits):
    """1 where one of them is 1."""
    return 1 - every([1 - bit for bit in bits])


def sort(wires, layers, bound):
    """Apply comparator layers to equal-sized vectors in place; |difference of two wires| <= bound."""
    size = wires[0].size
    for layer in layers:
        low = concatenated([wires[i] for i, _ in layer])
        high = concatenated([wires[j] for _, j in layer])
        gap = high - low
        swap = negative(gap, bound) * gap
        for (i, j), smaller, larger in zip(
            layer, parts(low + swap, len(layer), size), parts(high - swap, len(layer), size), strict=True
        ):
            wires[i], wires[j] = smaller, larger
    return wires
