"""Sorting and conjunction whose course does not depend on the values."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from pipeline.mpc import sorting


def all_true(bits: Any) -> Any:
    """Conjunction of all bits of each first-axis element, by halving: bits stay bits, and the depth is logarithmic."""
    bits = bits.reshape(bits.shape[0], -1)
    while bits.shape[1] > 1:
        half = bits.shape[1] // 2
        joined = bits[:, :half] & bits[:, half : 2 * half]
        bits = jnp.concatenate([joined, bits[:, 2 * half :]], axis=1)
    return bits[:, 0]


def sort(wires: list[Any], places: range | None = None) -> list[Any]:
    """The arrays sorted element by element; of the sorted ones those at `places`."""
    ordered = _sort(wires, None if places is None else frozenset(places))
    return ordered if places is None else [ordered[index] for index in places]


def sorted_wire(wires: list[Any], index: int) -> Any:
    """One array of the sorted ones."""
    return _sort(wires, frozenset({index}))[index]


def middle_sum(wires: list[Any], trimmed: int) -> Any:
    """Element by element, the sum without the `trimmed` smallest and largest."""
    middle = range(trimmed, len(wires) - trimmed)
    ordered = _sort(wires, frozenset(middle)) if trimmed else wires
    return sum(ordered[index] for index in middle)


def _sort(wires: list[Any], wanted: frozenset[int] | None) -> list[Any]:
    wires = list(wires)
    for layer in sorting.network(len(wires), wanted):
        low = jnp.stack([wires[a] for a, _ in layer])
        high = jnp.stack([wires[b] for _, b in layer])
        smaller = jnp.where(high < low, high, low)
        larger = low + high - smaller
        for index, (a, b) in enumerate(layer):
            wires[a], wires[b] = smaller[index], larger[index]
    return wires
