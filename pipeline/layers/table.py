"""The table of layers, and networks as plain data for other processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pipeline.layers.avg_pool2d import AvgPool2d
from pipeline.layers.base import Layer
from pipeline.layers.conv2d import Conv2d
from pipeline.layers.flatten import Flatten
from pipeline.layers.linear import Linear
from pipeline.layers.network import Network
from pipeline.layers.relu import ReLU

LAYERS: dict[str, type[Layer]] = {layer.__name__: layer for layer in (Conv2d, AvgPool2d, ReLU, Flatten, Linear)}
"""Name in a study file (torch's own name) to layer."""


def to_plain(network: Network) -> dict[str, Any]:
    """A network as JSON takes it."""
    layers = [{type(layer).__name__: asdict(layer)} for layer in network.layers]  # type: ignore[call-overload]
    return {"input_shape": list(network.input_shape), "layers": layers}


def from_plain(plain: Mapping[str, Any]) -> Network:
    """The network that `to_plain` described."""
    items: Sequence[Mapping[str, Mapping[str, int]]] = plain["layers"]
    layers = tuple(LAYERS[name](**arguments) for item in items for name, arguments in item.items())
    return Network(tuple(plain["input_shape"]), layers)
