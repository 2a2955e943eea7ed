"""Fully connected layer with bias."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.layers.base import Layer, Shape

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Linear(Layer):
    """`torch.nn.Linear`; the input features follow from the layer before."""

    out_features: int

    def output_shape(self, shape: Shape) -> Shape:
        """(out_features,)."""
        if len(shape) != 1:
            raise ValueError(f"takes (features,), got {shape}; put a Flatten before it")
        return (self.out_features,)

    def parameter_shapes(self, shape: Shape) -> dict[str, Shape]:
        """weight (out, in) and bias (out,)."""
        return {"weight": (self.out_features, shape[0]), "bias": (self.out_features,)}

    def torch(self, shape: Shape) -> torch.nn.Module:
        """The torch module."""
        from torch import nn

        return nn.Linear(shape[0], self.out_features)
