"""Flattening of one sample to a vector, in row-major order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.layers.base import Layer, Shape

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Flatten(Layer):
    """`torch.nn.Flatten`."""

    def output_shape(self, shape: Shape) -> Shape:
        """(features,)."""
        return (math.prod(shape),)

    def torch(self, shape: Shape) -> torch.nn.Module:
        """The torch module."""
        from torch import nn

        return nn.Flatten()
