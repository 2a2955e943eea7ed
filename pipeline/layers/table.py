"""The table of layers, and networks as plain data for other processes."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeAlias

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


Item: TypeAlias = "Mapping[str, Mapping[str, int | Sequence[Item]]]"
"""One layer of a study's model: its name and its arguments, of which those of a block are items again."""


def layer(item: Item) -> Layer:
    """The layer of one item; raises ValueError or TypeError for what is none."""
    if len(item) != 1:
        raise ValueError(f"got {len(item)} names in one list item")
    ((name, arguments),) = item.items()
    if name not in LAYERS:
        raise ValueError(f"{name} has no encrypted form")
    blocks = {field.name for field in fields(LAYERS[name]) if field.type != "int"}
    taken: dict[str, int | tuple[Layer, ...]] = {}
    for key, value in arguments.items():
        if isinstance(value, int) == (key in blocks):
            raise ValueError(f"{name}: {key} takes a {'list of layers' if key in blocks else 'whole number'}")
        if not isinstance(value, int):
            taken[key] = tuple(layer(inner) for inner in value)
        elif value < (0 if key == "padding" else 1):
            raise ValueError(f"{name}: got {key} {value}, want whole numbers from 1, padding from 0")
        else:
            taken[key] = value
    return LAYERS[name](**taken)


def to_plain(network: Network) -> dict[str, Any]:
    """A network as JSON takes it."""
    return {"input_shape": list(network.input_shape), "layers": [_item(layer) for layer in network.layers]}


def from_plain(plain: Mapping[str, Any]) -> Network:
    """The network that `to_plain` described."""
    return Network(tuple(plain["input_shape"]), tuple(layer(item) for item in plain["layers"]))


def _item(layer: Layer) -> dict[str, Any]:
    arguments = {field.name: getattr(layer, field.name) for field in fields(layer)}
    return {
        type(layer).__name__: {
            key: value if isinstance(value, int) else [_item(inner) for inner in value]
            for key, value in arguments.items()
        }
    }
