"""Two-dimensional convolution with bias, one group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.layers.base import Layer, Shape

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Conv2d(Layer):
    """`torch.nn.Conv2d` of a square kernel; the input channels follow from the layer before."""

    out_channels: int
    kernel_size: int
    stride: int = 1
    padding: int = 0

    def output_shape(self, shape: Shape) -> Shape:
        """(out_channels, h', w')."""
        if len(shape) != 3:
            raise ValueError(f"takes (channels, height, width), got {shape}")
        height, width = ((side + 2 * self.padding - self.kernel_size) // self.stride + 1 for side in shape[1:])
        if min(height, width) < 1:
            raise ValueError(f"kernel_size {self.kernel_size} does not fit {shape[1]}x{shape[2]}")
        return (self.out_channels, height, width)

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
