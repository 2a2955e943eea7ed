"""What a file must be to be a backbone, by its bytes alone: nothing of it is run here.

It comes from whoever proposes a study, and is read before a hospital's pictures meet it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

from pipeline.datasets.backbone.operators import ALLOWED, BYTES, RANDOM
from pipeline.errors import EvidenceRejected

if TYPE_CHECKING:
    import onnx

LARGEST_FILE = 128 * 2**20
"""Bytes; a network of 30 million parameters."""

OLDEST_OPSET, NEWEST_OPSET = 18, 23
"""Of ONNX's own operators: what torch's exporter writes too, so that both halves of an exported model fit."""

_MOST_NODES = 20_000
_MOST_BYTES = 1 << 30
"""Of all tensors between operators together, for one picture."""
_MODEL = "backbone"
_OWN = frozenset({"", "ai.onnx"})
"""ONNX's own operators, as files spell their domain."""


def checked(data: bytes, output: str, shape: tuple[int, ...], features: int) -> onnx.ModelProto:
    """The graph in `data`, which takes pictures (batch, *shape) float32 and has an output (batch, features) float32.

    Raises EvidenceRejected with what is wrong with it.
    """
    model = _parsed(data)
    _check_operators(model)
    _check_input(model, shape)
    _check_shapes(model, output, shape, features)
    return model


def opset(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operators that a graph is written in; 0 where it does not say."""
    return next((entry.version for entry in model.opset_import if entry.domain in _OWN), 0)


def picture_input(model: onnx.ModelProto) -> str:
    """The name of the one input of a graph that `checked` has passed."""
    return str(_inputs(model)[0].name)


def _parsed(data: bytes) -> onnx.ModelProto:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        if "alloc" in str(error):  # where memory ends, the parser has the same class for it
            raise MemoryError from None
        _refuse(f"got {len(data)} bytes that are no whole ONNX file, want one; export or fetch it again")
    if not model.graph.node:
        _refuse(f"got {len(data)} bytes without an ONNX graph, want one; export or fetch it again")
    return model


def _check_operators(model: onnx.ModelProto) -> None:
    import onnx

    if len(model.graph.node) > _MOST_NODES:
        _refuse(f"got {len(model.graph.node)} operators, want at most {_MOST_NODES}; take a smaller network")
    foreign = sorted({node.domain for node in model.graph.node} - _OWN)
    if foreign or model.functions:
        whose = ", ".join(foreign) or "functions of the file's own"
        _refuse(f"got custom operators ({whose}), want ONNX's own; export it without them")
    versions = [entry.version for entry in model.opset_import if entry.domain in _OWN]
    if len(versions) > 1:
        _refuse(f"got ONNX's own operators in {len(versions)} opsets, want one; export it again")
    if not OLDEST_OPSET <= opset(model) <= NEWEST_OPSET:
        _refuse(
            f"got opset {opset(model)}, want {OLDEST_OPSET} to {NEWEST_OPSET}; convert it (onnx.version_converter), and"
            " name the new file's digest"
        )
    kinds = {node.op_type for node in model.graph.node}
    # Batch normalisation that learns has further outputs.
    trains = any(node.op_type == "BatchNormalization" and len(node.output) > 1 for node in model.graph.node)
    if random := sorted(kinds & RANDOM):
        _refuse(
            f"got random operators ({', '.join(random)}), want none; export it for inference, in torch after eval()"
        )
    if trains or model.training_info:
        _refuse("got a graph that trains, want one for inference; export it so, in torch after eval()")
    if unknown := sorted(kinds - ALLOWED):
        _refuse(
            f"got operators that are stateful, of other shapes at each run, or not looked at ({', '.join(unknown)}),"
            " want those of pipeline/datasets/backbone/operators.py; export it without them"
        )
    if model.graph.sparse_initializer or any(map(_is_nested, _attributes(model.graph))):
        _refuse("got sparse weights, or a graph within an operator, want neither; save it with dense weights")
    for tensor in _tensors(model.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            _refuse("got weights outside the file (external data), want all within; save it as one file")
        _check_type(tensor.name, tensor.data_type)


def _check_input(model: onnx.ModelProto, shape: tuple[int, ...]) -> None:
    import onnx

    inputs = _inputs(model)
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        _refuse(f"got {len(inputs)} inputs ({names}), want one, the pictures; export it with one")
    tensor = inputs[0].type.tensor_type
    dims = _dims(inputs[0])
    if tensor.elem_type != onnx.TensorProto.FLOAT:
        _refuse(f"input {inputs[0].name}: got another type, want float32; export it so")
    if len(dims) == 1 + len(shape) and any(dim is None for dim in dims[1:]):
        _refuse(
            f"input {inputs[0].name}: got dynamic shapes ({_in_words(dims)}), want the batch alone to be dynamic and"
            f" {_in_words(shape)} fixed; export it for pictures of one size"
        )
    if dims != (None, *shape):
        _refuse(
            f"input {inputs[0].name}: got {_in_words(dims)}, want {_in_words((None, *shape))}: a dynamic batch of the"
            " study's pictures (channels x height x width); name their size in `images`, or export it for that"
        )


def _check_shapes(model: onnx.ModelProto, output: str, shape: tuple[int, ...], features: int) -> None:
    """Every tensor's shape for one picture, by ONNX's own inference: the named output's, and none beyond memory."""
    import onnx

    names = [value.name for value in model.graph.output]
    if output not in names:
        _refuse(f"got outputs {', '.join(names)}, want one named {output}; name one of these in `backbone.output`")
    single = onnx.ModelProto()
    single.CopyFrom(model)
    _fix_batch(single, (1, *shape))
    try:
        onnx.checker.check_model(single, full_check=False)
        inferred = onnx.shape_inference.infer_shapes(single, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
        _refuse(
            f"got a graph that ONNX's own check refuses ({_first_line(error)}), want one that passes; export it again"
        )
    known = {value.name: value for value in (*inferred.graph.value_info, *inferred.graph.output)}
    size = 0
    for node in inferred.graph.node:
        for name in filter(None, node.output):
            dims = _dims(known[name]) if name in known else (None,)
            # It would make the others' sum small.
            if any(dim is not None and dim < 0 for dim in dims):
                _refuse(f"{name}: got a size below zero ({node.op_type}), want none; export it again")
            if any(dim is None for dim in dims):
                _refuse(
                    f"{name}: got dynamic shapes within the graph ({node.op_type}), want the batch alone to be dynamic;"
                    " export it for pictures of one size"
                )
            kind = known[name].type.tensor_type.elem_type
            _check_type(name, kind)
            size += math.prod(dim or 0 for dim in dims) * BYTES[kind]
    if size > _MOST_BYTES:
        _refuse(f"got {size} bytes between operators, want at most {_MOST_BYTES}; take a smaller network")
    got = _dims(known[output])
    if got != (1, features) or known[output].type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        _refuse(
            f"output {output}: got {_in_words(got)} of one picture, want 1 x {features} of float32; name the number in"
            " `backbone.features`, or an output that is flat"
        )


def _check_type(name: str, kind: int) -> None:
    if kind not in BYTES:
        allowed = ", ".join(map(_type_name, BYTES))
        _refuse(f"{name}: got elements of type {_type_name(kind)}, want one of {allowed}; export it with these")


def _type_name(kind: int) -> str:
    import onnx

    return str(onnx.TensorProto.DataType.Name(kind)) if kind in onnx.TensorProto.DataType.values() else str(kind)


def _fix_batch(model: onnx.ModelProto, shape: tuple[int, ...]) -> None:
    """State the input's whole shape, and no other's: what the file says of these is not taken for true."""
    del model.graph.value_info[:]
    dims = _inputs(model)[0].type.tensor_type.shape.dim
    for dim, size in zip(dims, shape, strict=True):
        dim.dim_value = size
    for value in model.graph.output:
        for dim in value.type.tensor_type.shape.dim:
            dim.Clear()


def _inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    # Older files list the weights among the inputs.
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for attribute in _attributes(graph):
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors


def _attributes(graph: onnx.GraphProto) -> Iterator[onnx.AttributeProto]:
    for node in graph.node:
        yield from node.attribute


def _is_nested(attribute: onnx.AttributeProto) -> bool:
    """Whether it holds what is not looked at here, whatever kind it says that it is."""
    single = attribute.HasField("g") or attribute.HasField("sparse_tensor")
    return bool(single or attribute.graphs or attribute.sparse_tensors)


def _dims(value: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    """Sizes of a tensor; None for one that the file leaves open."""
    return tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in value.type.tensor_type.shape.dim)


def _in_words(dims: tuple[int | None, ...]) -> str:
    return " x ".join("any" if dim is None else str(dim) for dim in dims) or "one number"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:120]


def _refuse(what: str) -> NoReturn:
    raise EvidenceRejected(f"{_MODEL}: {what}")
