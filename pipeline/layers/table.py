"""The table of layers, and networks as plain data for other processes."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.layers.base import Layer
from pipeline.layers.network import Network


def layers_among(folders: Iterable[str]) -> dict[str, type[Layer]]:
    """Every layer among the files of this package, by its name: the class in a file that is called as the file is."""
    # Data sets and engines are found likewise, by loops of their own: programs under encryption load this package too,
    # and their digests name its files and none that it would import.
    layers: dict[str, type[Layer]] = {}
    for file in sorted(module.name for module in pkgutil.iter_modules(folders)):
        for name, member in vars(importlib.import_module(f"{__package__}.{file}")).items():
            if isinstance(member, type) and issubclass(member, Layer) and name.lower() == file.replace("_", ""):
                layers[name] = member
    return layers


LAYERS = layers_among([str(Path(__file__).parent)])
"""Name in a study file (torch's own name) to layer."""


def layer(item: Mapping[str, Mapping[str, int]]) -> Layer:
    """The layer of one item of a study's model; raises ValueError or TypeError for what is none."""
    if len(item) != 1:
        raise ValueError(f"got {len(item)} names in one list item")
    ((name, arguments),) = item.items()
    if name not in LAYERS:
        raise ValueError(f"{name} has no encrypted form")
    wrong = {key: value for key, value in arguments.items() if value < (0 if key == "padding" else 1)}
    if wrong:
        raise ValueError(f"{name}: got {wrong}, want whole numbers from 1, padding from 0")
    return LAYERS[name](**arguments)


def to_plain(network: Network) -> dict[str, Any]:
    """A network as JSON takes it."""
    layers = [{type(layer).__name__: asdict(layer)} for layer in network.layers]  # type: ignore[call-overload]
    return {"input_shape": list(network.input_shape), "layers": layers}


def from_plain(plain: Mapping[str, Any]) -> Network:
    """The network that `to_plain` described."""
    items: Sequence[Mapping[str, Mapping[str, int]]] = plain["layers"]
    layers = tuple(LAYERS[name](**arguments) for item in items for name, arguments in item.items())
    return Network(tuple(plain["input_shape"]), layers)
