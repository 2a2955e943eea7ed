"""The end of a block whose results are added to what it was given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.layers.arithmetic import Arithmetic, Array, WeightBounds
from pipeline.layers.base import IntegerForm
from pipeline.layers.values import Values

BLOCK = "block"
"""Begins the names of a block's parameters, as in the torch module."""


@dataclass(frozen=True)
class Addition(IntegerForm):
    """A block's results plus what it was given, both at the finer one's fractional bits."""

    given: Values

    def outcome(self, inputs: Values, weights: WeightBounds) -> Values:
        """No bound grows by more than the other's."""
        more, fewer = inputs, self.given
        if fewer.bits > more.bits:
            more, fewer = fewer, more
        shift = more.bits - fewer.bits
        return Values.within(
            more.shape,
            more.bits,
            more.largest + (fewer.largest << shift),
            more.norm + (fewer.norm << shift),
            more.across + (fewer.across << shift),
        )

    def evaluate(self, arithmetic: Arithmetic[Array], x: Array, operands: Sequence[Array], inputs: Values) -> Array:
        """The sum; the one operand is what the block was given."""
        (given,) = operands
        shift = inputs.bits - self.given.bits
        if shift < 0:
            return arithmetic.add(arithmetic.shift(x, -shift), given)
        return arithmetic.add(x, arithmetic.shift(given, shift) if shift else given)
