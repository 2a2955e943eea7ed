"""Sorting networks: which wires are compared, the same whatever the values, so that it can be done under encryption."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

Comparator = tuple[int, int]
"""Wires (low, high): afterwards low holds the smaller and high the larger value."""


@lru_cache(maxsize=256)
def network(wires: int, wanted: frozenset[int] | None = None) -> tuple[tuple[Comparator, ...], ...]:
    """Batcher's odd-even merge sort in layers of disjoint comparators, only those that `wanted` outputs need."""
    needed = set(range(wires)) if wanted is None else set(wanted)
    kept: list[Comparator] = []
    for low, high in reversed(list(_batcher(wires))):
        if low in needed or high in needed:
            needed |= {low, high}
            kept.append((low, high))
    depth = [0] * wires
    layers: list[list[Comparator]] = []
    for low, high in reversed(kept):
        level = max(depth[low], depth[high])
        if level == len(layers):
            layers.append([])
        layers[level].append((low, high))
        depth[low] = depth[high] = level + 1
    return tuple(tuple(layer) for layer in layers)


def _batcher(wires: int) -> Iterable[Comparator]:
    power = 1
    while power < wires:
        step = power
        while step >= 1:
            for start in range(step % power, wires - step, 2 * step):
                for low in range(start, min(start + step, wires - step)):
                    if low // (2 * power) == (low + step) // (2 * power):
                        yield low, low + step
            step //= 2
        power *= 2
