"""Fully connected layer with bias."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.layers.arithmetic import WEIGHT_BITS, Arithmetic, Array, Shape, WeightBounds
from pipeline.layers.base import IntegerForm, Layer
from pipeline.layers.values import Values, root

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Linear(Layer, IntegerForm):
    """`torch.nn.Linear`; the input features follow from the layer before."""

    out_features: int

    def __post_init__(self) -> None:
        if self.out_features < 1:
            raise ValueError(f"takes out_features from 1, got {self.out_features}")

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

    def outcome(self, inputs: Values, weights: WeightBounds) -> Values:
        """The bias counts as the weight of one further input, 1."""
        bits = inputs.bits + WEIGHT_BITS
        one = 1 << inputs.bits
        by_terms = weights.largest * (inputs.shape[0] * inputs.largest + one)
        by_norms = weights.norm * root(inputs.norm**2 + one**2)
        return Values.within((self.out_features,), bits, min(by_terms, by_norms), by_norms)

    def evaluate(self, arithmetic: Arithmetic[Array], x: Array, operands: Sequence[Array], inputs: Values) -> Array:
        """Sum of products and the bias at the sum's fractional bits."""
        weight, bias = operands
        return arithmetic.add_bias(arithmetic.multiply(x, weight), bias, 1 << inputs.bits)
