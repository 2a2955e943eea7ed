"""Two-dimensional convolution with bias, one group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.layers.arithmetic import (
    WEIGHT_BITS,
    Arithmetic,
    Array,
    Convolution,
    Shape,
    WeightBounds,
)
from pipeline.layers.avg_pool2d import AvgPool2d
from pipeline.layers.base import IntegerForm, Layer
from pipeline.layers.values import Values, root

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Conv2d(Layer, IntegerForm):
    """`torch.nn.Conv2d` of a square kernel; the input channels follow from the layer before."""

    out_channels: int
    kernel_size: int
    stride: int = 1
    padding: int = 0

    def __post_init__(self) -> None:
        if min(self.out_channels, self.kernel_size, self.stride) < 1 or self.padding < 0:
            raise ValueError(f"takes out_channels, kernel_size and stride from 1 and padding from 0, got {self}")

    def output_shape(self, shape: Shape) -> Shape:
        """(out_channels, h', w')."""
        if len(shape) != 3:
            raise ValueError(f"takes (channels, height, width), got {shape}")
        output = self.form(shape).output_shape
        if min(output) < 1:
            raise ValueError(f"kernel_size {self.kernel_size} does not fit {shape[1]}x{shape[2]}")
        return output

    def parameter_shapes(self, shape: Shape) -> dict[str, Shape]:
        """weight (out, in, k, k) and bias (out,)."""
        return {
            "weight": (self.out_channels, shape[0], self.kernel_size, self.kernel_size),
            "bias": (self.out_channels,),
        }

    def torch(self, shape: Shape) -> torch.nn.Module:
        """The torch module."""
        from torch import nn

        return nn.Conv2d(shape[0], self.out_channels, self.kernel_size, stride=self.stride, padding=self.padding)

    def form(self, shape: Shape) -> Convolution:
        """The geometry on inputs of `shape`."""
        return Convolution(shape, self.out_channels, self.kernel_size, self.stride, self.padding)

    def fold(self, following: Layer) -> IntegerForm | None:
        """Convolution and average pooling are one linear map of fewer outputs."""
        return PooledConv2d(self, following) if isinstance(following, AvgPool2d) else None

    def outcome(self, inputs: Values, weights: WeightBounds) -> Values:
        """The bias counts as the weight of one further input, 1; no output sees more than the whole sample."""
        bits = inputs.bits + WEIGHT_BITS
        one = 1 << inputs.bits
        area = self.kernel_size**2
        terms = inputs.shape[0] * area
        seen = min(inputs.norm, root(terms * inputs.largest**2), root(area * inputs.across**2))
        by_norms = weights.norm * root(seen**2 + one**2)
        by_terms = weights.largest * (terms * inputs.largest + one)
        return Values.within(self.output_shape(inputs.shape), bits, min(by_terms, by_norms), across=by_norms)

    def evaluate(self, arithmetic: Arithmetic[Array], x: Array, operands: Sequence[Array], inputs: Values) -> Array:
        """Sum of products and the bias at the sum's fractional bits."""
        weight, bias = operands
        return arithmetic.add_bias(arithmetic.convolve(x, weight, self.form(inputs.shape)), bias, 1 << inputs.bits)


@dataclass(frozen=True)
class PooledConv2d(IntegerForm):
    """A convolution directly followed by average pooling, as one convolution of a wider kernel and stride."""

    convolution: Conv2d
    pooling: AvgPool2d

    def form(self, shape: Shape) -> Convolution:
        """The geometry on inputs of `shape`."""
        return replace(self.convolution.form(shape), pool=self.pooling.kernel_size)

    def outcome(self, inputs: Values, weights: WeightBounds) -> Values:
        """What pooling makes of the convolution's."""
        return self.pooling.outcome(self.convolution.outcome(inputs, weights), weights)

    def evaluate(self, arithmetic: Arithmetic[Array], x: Array, operands: Sequence[Array], inputs: Values) -> Array:
        """The window's sum of convolutions with bias."""
        weight, bias = operands
        sums = arithmetic.convolve(x, weight, self.form(inputs.shape))
        return arithmetic.add_bias(sums, bias, self.pooling.kernel_size**2 << inputs.bits)
