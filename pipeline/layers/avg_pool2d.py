"""Average pooling: linear, so it costs no comparison under encryption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from pipeline.layers.arithmetic import Arithmetic, Array, Shape, WeightBounds
from pipeline.layers.base import IntegerForm, Layer
from pipeline.layers.values import Values

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class AvgPool2d(Layer, IntegerForm):
    """`torch.nn.AvgPool2d` with stride = kernel_size, a power of two so that the division is exact in bits."""

    kernel_size: int

    def __post_init__(self) -> None:
        if self.kernel_size < 2 or self.kernel_size & (self.kernel_size - 1):
            raise ValueError(f"kernel_size takes a power of two from 2, got {self.kernel_size}")

    def output_shape(self, shape: Shape) -> Shape:
        """(channels, h / k, w / k)."""
        if len(shape) != 3 or shape[1] % self.kernel_size or shape[2] % self.kernel_size:
            raise ValueError(f"takes (channels, height, width) with sides divisible by {self.kernel_size}, got {shape}")
        return (shape[0], shape[1] // self.kernel_size, shape[2] // self.kernel_size)

    def torch(self, shape: Shape) -> torch.nn.Module:
        """The torch module."""
        from torch import nn

        return nn.AvgPool2d(self.kernel_size)

    def outcome(self, inputs: Values, weights: WeightBounds) -> Values:
        """The sum over k * k members, of which each belongs to one window; it stands for the average times k * k."""
        k = self.kernel_size
        shape = self.output_shape(inputs.shape)
        bits = inputs.bits + 2 * (k.bit_length() - 1)
        return Values.within(shape, bits, k**2 * inputs.largest, k * inputs.norm, k**2 * inputs.across)

    def evaluate(self, arithmetic: Arithmetic[Array], x: Array, operands: Sequence[Array], inputs: Values) -> Array:
        """The window's sum."""
        return reduce(arithmetic.add, arithmetic.windows(x, self.kernel_size, inputs.shape))
