"""ONNX by torch's exporter: inputs, network and softmax in one graph, a study's backbone among them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pipeline.errors import EvidenceRejected
from pipeline.export.content import LABEL, SHARES, Content
from pipeline.export.forms.base import Form, FormName, Tensors
from pipeline.export.forms.onnx_parts import exported, joined
from pipeline.layers import Network

if TYPE_CHECKING:
    import onnx

_KEY = "wardround"
_NETWORK = "network"
"""The graph's module that holds the study's model (`pipeline.export.graph`)."""
_OPSET = 18
_IR_VERSION, _PRODUCER = b"\x08", b"\x12"
"""Tags of the fields with which a file of ours begins; the first alone may also be a length of safetensors."""


class Onnx(Form):
    """Open Neural Network Exchange, for ONNX Runtime and whatever else reads it."""

    name: ClassVar[FormName] = "onnx"
    file: ClassVar[str] = "model.onnx"
    library: ClassVar[str] = "onnx"
    packages: ClassVar[tuple[str, ...]] = ("torch", "onnx", "onnxscript", "onnx-ir")

    def write(self, content: Content) -> bytes:
        """The exporter's graph without its notes, which name files of this machine."""
        from pipeline.export.graph import Whole, example

        whole = Whole(content).eval()
        if content.backbone is None:
            name = content.study.source.preparation["input"]["name"]
            proto = exported(whole, example(content), [name], [LABEL, SHARES], _OPSET)
        else:
            proto = joined(content.study.source, content.backbone, whole, example(content))
        graph = proto.graph
        for part in (proto, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
            part.doc_string = ""
            del part.metadata_props[:]
        del graph.value_info[:]
        graph.name = content.study.name
        proto.producer_name = _KEY
        proto.producer_version = ""
        proto.metadata_props.add(key=_KEY, value=content.description(self.made_with).decode())
        return bytes(proto.SerializeToString(deterministic=True))

    def recognises(self, data: bytes) -> bool:
        """By the first two fields: a version of one byte, and the producer's name."""
        return data.startswith(_IR_VERSION) and data[2:3] == _PRODUCER

    def description(self, data: bytes) -> bytes:
        """The metadata under our key."""
        found = [item.value for item in _parsed(data).metadata_props if item.key == _KEY]
        if len(found) != 1:
            raise EvidenceRejected(f"got {len(found)} descriptions in the metadata, want one under the key {_KEY}")
        return str(found[0]).encode()

    def tensors(self, data: bytes, network: Network) -> Tensors:
        """The graph's initialisers of torch's names."""
        held = _by_name(_parsed(data).graph.initializer)
        return {
            parameter.name: _numbers(held.get(f"{_NETWORK}.{parameter.name}"), parameter.name, parameter.shape)
            for parameter in network.parameters
        }


def _parsed(data: bytes) -> onnx.ModelProto:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return onnx.ModelProto.FromString(data)
    except DecodeError as error:
        raise EvidenceRejected(f"got {len(data)} bytes that are no ONNX file; fetch it again") from error


def _by_name(tensors: Iterable[Any]) -> dict[str, Any]:
    return {tensor.name: tensor for tensor in tensors}


def _numbers(tensor: Any, name: str, shape: tuple[int, ...]) -> Any:
    import onnx

    if tensor is None:
        raise EvidenceRejected(f"graph: got no weights {name}")
    if (
        tensor.data_type != onnx.TensorProto.FLOAT
        or tuple(tensor.dims) != shape
        or tensor.data_location != onnx.TensorProto.DEFAULT
        or len(tensor.raw_data) != 4 * math.prod(shape)
    ):
        raise EvidenceRejected(f"graph: got weights {name} of another shape or kind, want float32 of shape {shape}")
    return np.frombuffer(tensor.raw_data, dtype="<f4").reshape(shape)
