"""Rectified linear unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pipeline.layers.arithmetic import Arithmetic, Array, Shape
from pipeline.layers.base import Layer

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ReLU(Layer):
    """`torch.nn.ReLU`; it shares the comparison with the narrowing of the layer before it."""

    rectifies: ClassVar[bool] = True

    def output_shape(self, shape: Shape) -> Shape:
        """The input's shape."""
        return shape

    def torch(self, shape: Shape) -> torch.nn.Module:
        """The torch module."""
        from torch import nn

        return nn.ReLU()

    def evaluate(self, arithmetic: Arithmetic[Array], x: Array, parameters: Sequence[Array], shape: Shape, bits: int) -> Array:
        """The same values; the plan's step rectifies them."""
        return x
