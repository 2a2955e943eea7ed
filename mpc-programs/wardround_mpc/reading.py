"""Inputs from the node's own share file, and loops over vectors too long for one step."""

from __future__ import annotations

from Compiler.library import for_range
from Compiler.types import sint

LONGEST = 200_000
"""Elements per step: bounds the memory of a node whatever the size of the model or the samples."""


class Source:
    """The share file, front to back."""

    def __init__(self):
        self.location = 0
        self.arrays = []
        """All that was read."""

    def read(self, count):
        """The next `count` values."""
        array = sint.Array(count)
        start = self.location

        def step(offset, size):
            _, [values] = sint.read_from_file(start + offset, size=size)
            array.assign_vector(values, offset)

        chunked(count, step)
        self.location += count
        self.arrays.append(array)
        return array


def chunked(count, step, longest=LONGEST):
    """Call `step(offset, size)` over all of `count` elements."""
    whole, rest = divmod(count, longest)
    if whole:
        repeated(whole, lambda index: step(index * longest, longest))
    if rest:
        step(whole * longest, rest)


def repeated(count, step):
    """Call `step(index)` for each of `count`.

    Without a loop, in which nothing joins what stands outside, where there is one.
    """
    if count == 1:
        step(0)
    else:
        for_range(count)(step)
