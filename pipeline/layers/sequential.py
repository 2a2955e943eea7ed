"""A network as torch has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.layers.network import Network

if TYPE_CHECKING:
    import torch


def sequential(network: Network) -> torch.nn.Sequential:
    """The layers' torch modules in turn."""
    import torch

    return torch.nn.Sequential(
        *(layer.torch(shape) for layer, shape in zip(network.layers, network.shapes, strict=False))
    )
