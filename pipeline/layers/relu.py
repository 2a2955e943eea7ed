"""Rectified linear unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.layers.base import Layer, Shape

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ReLU(Layer):
    """`torch.nn.ReLU`."""

    def output_shape(self, shape: Shape) -> Shape:
        """The input's shape."""
        return shape

    def torch(self, shape: Shape) -> torch.nn.Module:
        """The torch module."""
        from torch import nn

        return nn.ReLU()
