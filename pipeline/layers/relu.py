"""Rectified linear unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pipeline.layers.arithmetic import Arithmetic, Array, Shape, WeightBounds
from pipeline.layers.base import IntegerForm, Layer
from pipeline.layers.values import Values

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ReLU(Layer, IntegerForm):
    """`torch.nn.ReLU`; it shares the comparison with the narrowing of the layer before it."""

    rectifies: ClassVar[bool] = True

    def output_shape(self, shape: Shape) -> Shape:
        """The input's shape."""
        return shape

    def torch(self, shape: Shape) -> torch.nn.Module:
        """The torch module."""
        from torch import nn

        return nn.ReLU()

    def outcome(self, inputs: Values, weights: WeightBounds) -> Values:
        """What held before."""
        return inputs

    def evaluate(self, arithmetic: Arithmetic[Array], x: Array, operands: Sequence[Array], inputs: Values) -> Array:
        """The same values; the plan's step rectifies them."""
        return x
