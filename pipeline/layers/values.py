"""What is proven of a batch's integers before any of them is seen."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline.layers.arithmetic import Shape


@dataclass(frozen=True)
class Values:
    """Shape and fractional bits of one sample's integers, with three bounds that hold for every sample."""

    shape: Shape
    bits: int
    largest: int
    """Of the absolute values."""
    norm: int
    """Of the sample's Euclidean norm."""
    across: int
    """Of the Euclidean norm of the channels' (or features') largest absolute values."""

    @classmethod
    def within(
        cls, shape: Shape, bits: int, largest: int, norm: int | None = None, across: int | None = None
    ) -> Values:
        """The bounds given, each lowered to what follows from the others."""
        count = math.prod(shape)
        channels = shape[0]
        norms = [root(count * largest**2), *([] if norm is None else [norm])]
        across = min(root(channels * largest**2), min(norms), *([] if across is None else [across]))
        norm = min(*norms, root(count // channels * across**2))
        return cls(shape, bits, min(largest, across), norm, across)

    def narrowed(self, bits: int) -> Values:
        """After a floor that drops `bits`: it moves each value by less than one."""
        return Values.within(
            self.shape,
            self.bits - bits,
            -(-self.largest >> bits),
            (self.norm >> bits) + 1 + root(math.prod(self.shape)),
            (self.across >> bits) + 1 + root(self.shape[0]),
        )


def root(square: int) -> int:
    """The square root, rounded up."""
    return math.isqrt(square - 1) + 1 if square else 0
