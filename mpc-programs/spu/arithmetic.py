"""The layers' arithmetic under SPU's ABY3: int64 arrays of jax.numpy, with few conversions between kinds of sharing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from sharing_kind import arithmetic_sharing

from pipeline.layers.arrays import ArrayArithmetic

VALUES_AT_ONCE = 1 << 17
"""Values of one comparison: bounds the memory of a bit decomposition (about 1 KB a value) and fits it into the CPU's
cache."""


class SpuArithmetic(ArrayArithmetic):
    """Products are arithmetic sharings; narrowing takes one bit decomposition, for shift and sign together."""

    def __init__(self) -> None:
        super().__init__(jnp)

    def strided(self, x: Any, row: int, column: int, step: int, shape: tuple[int, int]) -> Any:
        """A slice: indexing would become a gather, which SPU walks element by element."""
        rows, columns = shape
        start = (*(0,) * (x.ndim - 2), row, column)
        end = (*x.shape[:-2], row + step * (rows - 1) + 1, column + step * (columns - 1) + 1)
        return jax.lax.slice(x, start, end, (*(1,) * (x.ndim - 2), step, step))

    def maximum(self, candidates: Sequence[Any], bound: int) -> Any:
        """By halving, each half's comparisons at once."""
        left_over = jnp.stack(candidates)
        while len(left_over) > 1:
            half = len(left_over) // 2
            larger = _in_blocks(jnp.maximum, left_over[:half], left_over[half : 2 * half])
            left_over = jnp.concatenate([larger, left_over[2 * half :]])
        return left_over[0]

    def minimum(self, x: Any, limit: int, bound: int) -> Any:
        """In blocks of values."""
        return _in_blocks(lambda block: jnp.minimum(block, limit), x)

    def narrow(self, x: Any, bits: int, rectify: bool, bound: int) -> Any:
        """In blocks of values."""
        return _in_blocks(lambda block: _narrow(block, bits, rectify, bound), x)


def _in_blocks(function: Callable[..., Any], *arrays: Any) -> Any:
    count = math.prod(arrays[0].shape)
    if count <= VALUES_AT_ONCE:
        return function(*arrays)
    flat = [array.reshape(-1) for array in arrays]
    blocks = -(-count // VALUES_AT_ONCE)
    size = -(-count // blocks)
    done = [function(*(array[start : start + size] for array in flat)) for start in range(0, count, size)]
    return jnp.concatenate(done).reshape(arrays[0].shape)


def _narrow(x: Any, bits: int, rectify: bool, bound: int) -> Any:
    if bits == 0:
        return jnp.maximum(x, 0)
    if not rectify:
        return arithmetic_sharing(x >> bits)
    # The exclusive-or touches a bit that is dropped: it makes both shifts read one decomposition into bits.
    decomposed = x ^ 1
    width = bound.bit_length()
    mask = (1 << max(width - bits, 1)) - 1
    magnitude = (decomposed >> bits) & mask
    # |x| < 2**width, so that every bit from there on is the sign.
    not_negative = ((decomposed >> width) & mask) ^ mask
    return arithmetic_sharing(magnitude & not_negative)
