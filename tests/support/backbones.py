"""Small backbones, written operator by operator, and studies' lines that name them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pipeline.evidence.canonical import sha256

FEATURES = 12
SIDE = 32
OPSET = 18


def graph(
    *,
    channels: int = 1,
    side: int = SIDE,
    inputs: Sequence[onnx.ValueInfoProto] | None = None,
    between: Sequence[onnx.NodeProto] = (),
    outputs: Sequence[onnx.ValueInfoProto] | None = None,
) -> onnx.GraphProto:
    """Two convolutions and the means of what they find, with weights of a fixed seed.

    `between` are operators from `means` to `last`, which is flattened into `features`.
    """
    rng = np.random.default_rng(7)
    weights = {
        "edges": rng.normal(0, 0.3, (8, channels, 5, 5)),
        "parts": rng.normal(0, 0.2, (FEATURES, 8, 3, 3)),
    }
    nodes = [
        helper.make_node("Conv", ["pictures", "edges"], ["seen"], strides=[2, 2]),
        helper.make_node("Relu", ["seen"], ["lit"]),
        helper.make_node("Conv", ["lit", "parts"], ["put_together"], strides=[2, 2]),
        helper.make_node("Relu", ["put_together"], ["found"]),
        helper.make_node("GlobalAveragePool", ["found"], ["means"]),
        *(between or [helper.make_node("Identity", ["means"], ["last"])]),
        helper.make_node("Flatten", ["last"], ["features"]),
    ]
    return helper.make_graph(
        nodes,
        "public",
        inputs or [pictures(channels, side)],
        outputs or [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", FEATURES])],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()],
    )


def pictures(channels: int = 1, side: int | str = SIDE, batch: int | str = "batch") -> onnx.ValueInfoProto:
    """The input of a graph."""
    return helper.make_tensor_value_info("pictures", TensorProto.FLOAT, [batch, channels, side, side])


def written(whole: onnx.GraphProto, *further: onnx.OperatorSetIdProto, opset: int = OPSET) -> bytes:
    """A graph as a file."""
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", opset), *further], ir_version=10)
    return bytes(model.SerializeToString(deterministic=True))


@cache
def backbone() -> bytes:
    """A public network of grey pictures."""
    return written(graph())


def lines(data: bytes, **changes: Any) -> dict[str, Any]:
    """What a study says of it."""
    said = {
        "onnx": "public.onnx",
        "sha256": sha256(data),
        "output": "features",
        "features": FEATURES,
        "mean": 0.4,
        "deviation": 0.4,
    }
    return said | changes


def study_lines(data: bytes, **changes: Any) -> dict[str, Any]:
    """The lines of a study that goes by it, on pictures of the hospitals' own."""
    return {
        "dataset": "stripes",
        "images": {"size": [SIDE, SIDE], "classes": ["clear", "striped"], "mean": [120.0], "deviation": [50.0]},
        "backbone": lines(data, **changes),
        "model": [{"Linear": {"out_features": 2}}],
    }


def lay_beside(studies: Path, data: bytes, name: str = "public.onnx") -> None:
    """Put the file where the service provider keeps it."""
    (studies / name).write_bytes(data)
