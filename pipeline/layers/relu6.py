"""Rectified linear unit with a ceiling, which bounds what the layers behind it can meet, however many there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.layers.arithmetic import Arithmetic, Array, Shape, WeightBounds
from pipeline.layers.base import IntegerForm, Layer
from pipeline.layers.relu import ReLU
from pipeline.layers.values import Values

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ReLU6(Layer):
    """`torch.nn.ReLU6`, whose ceiling lets a network have more layers within 64 bits."""

    def output_shape(self, shape: Shape) -> Shape:
        """The input's shape."""
        return shape

    def torch(self, shape: Shape) -> torch.nn.Module:
        """The torch module."""
        from torch import nn

        return nn.ReLU6()

    def forms(self) -> tuple[IntegerForm, ...]:
        """The sign, which a narrowing shares, and then the ceiling."""
        return (ReLU(), Ceiling(6))


@dataclass(frozen=True)
class Ceiling(IntegerForm):
    """The smaller of each value and a whole number."""

    value: int

    def outcome(self, inputs: Values, weights: WeightBounds) -> Values:
        """Values were rectified before, so that none is below 0."""
        largest = min(inputs.largest, self.value << inputs.bits)
        return Values.within(inputs.shape, inputs.bits, largest, inputs.norm, inputs.across)

    def evaluate(self, arithmetic: Arithmetic[Array], x: Array, operands: Sequence[Array], inputs: Values) -> Array:
        """One comparison for each value."""
        return arithmetic.minimum(x, self.value << inputs.bits, inputs.largest)
