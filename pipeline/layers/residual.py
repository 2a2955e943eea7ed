"""A block of layers whose results are added to what the block was given, as very deep networks are built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.layers.addition import BLOCK
from pipeline.layers.arithmetic import Shape
from pipeline.layers.base import Layer
from pipeline.layers.network import Network
from pipeline.layers.sequential import sequential

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Residual(Layer):
    """A block of `layers` that answers in its input's shape, added to its input; no ReLU follows by itself."""

    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError("layers takes at least one layer, got none")

    def block(self) -> Sequence[Layer]:
        """The layers."""
        return self.layers

    def output_shape(self, shape: Shape) -> Shape:
        """The input's."""
        answered = Network(shape, self.layers).shapes[-1]
        if answered != shape:
            raise ValueError(
                f"takes a block that answers in its input's shape {shape}, got one that answers {answered}"
            )
        return shape

    def parameter_shapes(self, shape: Shape) -> dict[str, Shape]:
        """Those of the block."""
        return {f"{BLOCK}.{parameter.name}": parameter.shape for parameter in Network(shape, self.layers).parameters}

    def torch(self, shape: Shape) -> torch.nn.Module:
        """A module that holds the block's as `block`."""
        import torch

        class Added(torch.nn.Module):
            def __init__(self, block: torch.nn.Module) -> None:
                super().__init__()
                self.block = block

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return torch.add(x, self.block(x))

        return Added(sequential(Network(shape, self.layers)))
