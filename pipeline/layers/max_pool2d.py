"""Maximum pooling: three comparisons per window of four, under encryption the dearest of the layers."""

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
class MaxPool2d(Layer, IntegerForm):
    """`torch.nn.MaxPool2d` with stride = kernel_size.

    The floor and ReLU of the layer before it are done to the winners only.
    """

    chooses: ClassVar[bool] = True

    kernel_size: int

    def __post_init__(self) -> None:
        if self.kernel_size < 2:
            raise ValueError(f"kernel_size takes whole numbers from 2, got {self.kernel_size}")

    def output_shape(self, shape: Shape) -> Shape:
        """(channels, h / k, w / k)."""
        if len(shape) != 3 or shape[1] % self.kernel_size or shape[2] % self.kernel_size:
            raise ValueError(f"takes (channels, height, width) with sides divisible by {self.kernel_size}, got {shape}")
        return (shape[0], shape[1] // self.kernel_size, shape[2] // self.kernel_size)

    def torch(self, shape: Shape) -> torch.nn.Module:
        """The torch module."""
        from torch import nn

        return nn.MaxPool2d(self.kernel_size)

    def outcome(self, inputs: Values, weights: WeightBounds) -> Values:
        """Some of the inputs."""
        return Values.within(self.output_shape(inputs.shape), inputs.bits, inputs.largest, inputs.norm, inputs.across)

    def evaluate(self, arithmetic: Arithmetic[Array], x: Array, operands: Sequence[Array], inputs: Values) -> Array:
        """The window's largest member."""
        return arithmetic.maximum(arithmetic.windows(x, self.kernel_size, inputs.shape), inputs.largest)
