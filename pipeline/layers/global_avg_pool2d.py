"""The average of each channel: what stands between the last convolution and the last linear layer of many networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.layers.arithmetic import Arithmetic, Array, Shape, WeightBounds
from pipeline.layers.avg_pool2d import AvgPool2d
from pipeline.layers.base import IntegerForm, Layer
from pipeline.layers.flatten import Flatten
from pipeline.layers.values import Values

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class GlobalAvgPool2d(Layer, IntegerForm):
    """`torch.nn.AdaptiveAvgPool2d(1)` and `torch.nn.Flatten`, of a square whose side is a power of two."""

    def output_shape(self, shape: Shape) -> Shape:
        """(channels,)."""
        if len(shape) != 3 or shape[1] != shape[2] or shape[1] < 2 or shape[1] & (shape[1] - 1):
            raise ValueError(f"takes (channels, side, side) with a side that is a power of two from 2, got {shape}")
        return shape[:1]

    def torch(self, shape: Shape) -> torch.nn.Module:
        """Both torch modules in turn."""
        from torch import nn

        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def outcome(self, inputs: Values, weights: WeightBounds) -> Values:
        """What pooling by one window makes of them."""
        return Flatten().outcome(_pooling(inputs.shape).outcome(inputs, weights), weights)

    def evaluate(self, arithmetic: Arithmetic[Array], x: Array, operands: Sequence[Array], inputs: Values) -> Array:
        """Each channel's sum, which stands for the average times the square of the side."""
        pooling = _pooling(inputs.shape)
        sums = pooling.evaluate(arithmetic, x, operands, inputs)
        return arithmetic.flatten(sums, pooling.output_shape(inputs.shape))


def _pooling(shape: Shape) -> AvgPool2d:
    return AvgPool2d(shape[1])
