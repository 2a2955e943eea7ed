"""Flattening of one sample to a vector, in row-major order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.layers.arithmetic import Arithmetic, Array, Shape, WeightBounds
from pipeline.layers.base import IntegerForm, Layer
from pipeline.layers.values import Values

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Flatten(Layer, IntegerForm):
    """`torch.nn.Flatten`."""

    def output_shape(self, shape: Shape) -> Shape:
        """(features,)."""
        return (math.prod(shape),)

    def torch(self, shape: Shape) -> torch.nn.Module:
        """The torch module."""
        from torch import nn

        return nn.Flatten()

    def outcome(self, inputs: Values, weights: WeightBounds) -> Values:
        """The same values."""
        return Values.within(self.output_shape(inputs.shape), inputs.bits, inputs.largest, inputs.norm)

    def evaluate(self, arithmetic: Arithmetic[Array], x: Array, operands: Sequence[Array], inputs: Values) -> Array:
        """The same values in one row."""
        return arithmetic.flatten(x, inputs.shape)
