"""What a file must be to be a backbone; each bad one gets a sentence of its own, and none is run on a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.datasets.backbone import Backbone, inspection, prepared
from pipeline.datasets.backbone import graph as graphs
from pipeline.datasets.backbone.operators import ALLOWED, RANDOM
from pipeline.errors import EvidenceRejected, Misconfigured
from pipeline.evidence.canonical import sha256
from tests.support.backbones import FEATURES, OPSET, SIDE, backbone, graph, pictures, written

SHAPE = (1, SIDE, SIDE)


def inspected(data: bytes, output: str = "features", features: int = FEATURES) -> None:
    Backbone(sha256(data), output, features, 0.0, 1.0).inspect(data, SHAPE)


def node(kind: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, ["means"], ["last"], **attributes)


def external() -> bytes:
    model = onnx.ModelProto.FromString(backbone())
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../hospitals/elm/signing-key")
    return bytes(model.SerializeToString())


def two_inputs() -> bytes:
    age = helper.make_tensor_value_info("age", TensorProto.FLOAT, ["batch", FEATURES, 1, 1])
    return written(graph(inputs=[pictures(), age], between=[helper.make_node("Add", ["means", "age"], ["last"])]))


def within(kind: str) -> bytes:
    """A function of the file's own, under the name of an operator."""
    model = onnx.ModelProto.FromString(backbone())
    body = [helper.make_node("Relu", ["x"], ["y"])]
    opsets = [helper.make_opsetid("", OPSET)]
    model.functions.append(helper.make_function("", kind, ["x"], ["y"], body, opsets))
    return bytes(model.SerializeToString())


def huge() -> bytes:
    """A few bytes that ask for 64 GB."""
    repeated = helper.make_node("Concat", ["means"] * (1 << 10), ["wide"], axis=2)
    again = helper.make_node("Concat", ["wide"] * (1 << 10), ["wider"], axis=3)
    once_more = helper.make_node("Concat", ["wider"] * (1 << 10), ["widest"], axis=2)
    least = helper.make_node("GlobalMaxPool", ["widest"], ["last"])
    return written(graph(between=[repeated, again, once_more, least]))


def many() -> bytes:
    """No tensor is large, and all of them wait for the last operator."""
    wide = helper.make_node("Concat", ["pictures"] * (1 << 14), ["wide"], axis=1)
    parts = [helper.make_node("Neg", ["wide"], [f"part_{number}"]) for number in range(16)]
    total = helper.make_node("Sum", [name for part in parts for name in part.output], ["total"])
    least = helper.make_node("ReduceMax", ["total"], ["least"], keepdims=1)
    return written(graph(between=[wide, *parts, total, least, helper.make_node("Add", ["means", "least"], ["last"])]))


def sparse() -> bytes:
    values = TensorProto(data_type=TensorProto.FLOAT, dims=[1], name="few", data_location=TensorProto.EXTERNAL)
    values.external_data.add(key="location", value="../../hospitals/elm/signing-key")
    places = numpy_helper.from_array(np.zeros(1, np.int64), "places")
    few = helper.make_node("Constant", [], ["few"], sparse_value=helper.make_sparse_tensor(values, places, [FEATURES]))
    return written(graph(between=[few, node("Identity")]))


def of_values() -> bytes:
    """A shape that follows from what a picture holds."""
    return written(graph(between=[helper.make_node("NonZero", ["means"], ["last"])]))


def batch_of(batch: int | str, side: int | str) -> bytes:
    return written(graph(inputs=[pictures(side=side, batch=batch)]))


def doubles() -> bytes:
    value = helper.make_tensor_value_info("pictures", TensorProto.DOUBLE, ["batch", *SHAPE])
    return written(graph(inputs=[value]))


def nan() -> bytes:
    """The logarithm of what is below zero."""
    below = helper.make_node("Neg", ["means"], ["below"])
    return written(graph(between=[below, helper.make_node("Log", ["below"], ["last"])]))


def negative() -> bytes:
    """A tensor of less than nothing, which would make room for those of 64 GB beside it."""
    pads = constant("pads", np.array([0, 0, 0, 0, 0, 0, -SIDE - 8, 0], np.int64))
    below = helper.make_node("Pad", ["pictures", "pads"], ["below"])
    least = helper.make_node("ReduceSum", ["below"], ["least"], keepdims=1)
    return written(graph(between=[pads, below, least, helper.make_node("Add", ["means", "least"], ["last"])]))


def constant(name: str, values: np.ndarray) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(values, name))


def of_type(kind: int) -> bytes:
    there = helper.make_node("Cast", ["means"], ["other"], to=kind)
    return written(graph(between=[there, helper.make_node("Cast", ["other"], ["last"], to=TensorProto.FLOAT)]))


def for_ever(side: int = 8032, kernel: int = 4000) -> bytes:
    """A few kilobytes that keep a processor busy for days."""
    around = (side - SIDE) // 2
    pads = constant("pads", np.array([0, 0, around, around] * 2, np.int64))
    wide = helper.make_node("Pad", ["pictures", "pads"], ["wide"])
    pooled = helper.make_node("MaxPool", ["wide"], ["pooled"], kernel_shape=[kernel, kernel])
    most = helper.make_node("GlobalMaxPool", ["pooled"], ["most"])
    return written(graph(between=[pads, wide, pooled, most, helper.make_node("Add", ["means", "most"], ["last"])]))


def one_alone() -> bytes:
    """A label says that the batch is dynamic, and the shape within is of one picture."""
    shape = constant("shape", np.array([1, FEATURES, 1, 1], np.int64))
    return written(graph(between=[shape, helper.make_node("Reshape", ["means", "shape"], ["last"])]))


def mixed() -> bytes:
    """One picture's features hold the mean of all that are asked with it."""
    axes = constant("axes", np.array([0], np.int64))
    mean = helper.make_node("ReduceMean", ["means", "axes"], ["mean"], keepdims=1)
    return written(graph(between=[axes, mean, helper.make_node("Add", ["means", "mean"], ["last"])]))


def two_opsets() -> bytes:
    return written(graph(), helper.make_opsetid("ai.onnx", 23))


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "truncated": (lambda: backbone()[:-400], "no whole ONNX file"),
    "empty": (lambda: b"", "without an ONNX graph"),
    "another kind of file": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(200), "no whole ONNX file"),
    "two inputs": (two_inputs, "2 inputs (pictures, age), want one"),
    "dynamic height and width": (lambda: batch_of("batch", "side"), "dynamic shapes (any x 1 x any x any), want the"),
    "a fixed batch": (lambda: batch_of(8, SIDE), "got 8 x 1 x 32 x 32, want any x 1 x 32 x 32"),
    "another size": (lambda: batch_of("batch", 48), "got any x 1 x 48 x 48, want any x 1 x 32 x 32"),
    "doubles": (doubles, "another type, want float32"),
    "random operators": (
        lambda: written(graph(between=[node("RandomNormalLike")])),
        "random operators (RandomNormalLike)",
    ),
    "dropout": (lambda: written(graph(between=[node("Dropout")])), "random operators (Dropout)"),
    "operators with a state": (
        lambda: written(graph(between=[node("SequenceConstruct")])),
        "not looked at (SequenceConstruct)",
    ),
    "shapes that follow from values": (of_values, "of other shapes at each run, or not looked at (NonZero)"),
    "weights in another file": (external, "weights outside the file (external data)"),
    "custom operators": (
        lambda: written(graph(between=[node("Trick", domain="org.example")]), helper.make_opsetid("org.example", 1)),
        "custom operators (org.example)",
    ),
    "a function under an operator's name": (lambda: within("Relu"), "custom operators (functions of the file's own)"),
    "an old opset": (lambda: written(graph(), opset=11), "got opset 11, want 18 to 23"),
    "an opset to come": (lambda: written(graph(), opset=99), "got opset 99, want 18 to 23"),
    "NaN": (nan, "NaN or infinity"),
    "all memory": (huge, "bytes between operators, want at most"),
    "all memory, in many parts": (many, "bytes between operators, want at most"),
    "a negative size": (negative, "below: got a size below zero (Pad), want none"),
    "texts": (lambda: of_type(TensorProto.STRING), "elements of type STRING, want one of FLOAT, DOUBLE"),
    "integers of 8 bits": (lambda: of_type(TensorProto.INT8), "elements of type INT8, want one of FLOAT, DOUBLE"),
    "a batch of one alone": (one_alone, "of two pictures at once, want a batch that is dynamic"),
    "a batch that is mixed": (mixed, "other features of two pictures at once than of each by itself"),
    "two opsets": (two_opsets, "ONNX's own operators in 2 opsets, want one"),
    "sparse weights in another file": (sparse, "got sparse weights, or a graph within an operator"),
    "too few arguments": (
        lambda: written(graph(between=[helper.make_node("Add", ["means"], ["last"])])),
        "ONNX's own check refuses",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_in_one_sentence(name: str) -> None:
    made, wanted = BAD[name]
    with pytest.raises(EvidenceRejected) as refusal:
        inspection.inspect(made(), "features", SHAPE, FEATURES)
    said = str(refusal.value)
    assert wanted in said, said
    assert said.startswith("backbone: ")
    assert "\n" not in said
    assert ", want " in said


def test_a_file_that_would_take_days_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "_SECONDS", 8)
    with pytest.raises(EvidenceRejected, match="took longer than 8 seconds or more than 6 GB"):
        inspected(for_ever())


def test_a_file_that_would_take_all_memory_is_ended_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "_BYTES", 2 << 30)
    nodes = b"\x0a\x00" * (12 << 20)  # 24 MB, and 2 GB once they are parsed
    before = psutil.Process().memory_info().rss
    with pytest.raises(EvidenceRejected, match="took longer than 120 seconds or more than 2 GB"):
        inspected(b"\x3a" + _varint(len(nodes)) + nodes)
    assert psutil.Process().memory_info().rss - before < 1 << 28


def _varint(number: int) -> bytes:
    parts = []
    while number >= 1 << 7:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def test_a_good_file_gives_equal_features_each_time(tmp_path: Path) -> None:
    inspected(backbone())
    file = tmp_path / "public.onnx"
    file.write_bytes(backbone())
    network = Backbone(sha256(backbone()), "features", FEATURES, 0.4, 0.4)
    some = np.random.default_rng(1).integers(-300, 300, (5, *SHAPE)).astype(np.int16)
    features = [network.encode(file, picture) for picture in some]
    assert all((one.dtype, one.shape) == (np.int16, (FEATURES,)) for one in features)
    assert len(np.unique(features)) > FEATURES
    for row, picture in enumerate(some):
        np.testing.assert_array_equal(network.encode(file, picture), features[row])


def test_an_output_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(EvidenceRejected, match="got outputs features, want one named logits"):
        inspected(backbone(), output="logits")


def test_another_number_of_features_is_refused() -> None:
    with pytest.raises(EvidenceRejected, match=f"got 1 x {FEATURES} of one picture, want 1 x 1280"):
        inspected(backbone(), features=1280)


def test_another_digest_is_refused_before_anything_is_read() -> None:
    with pytest.raises(EvidenceRejected, match="another network, or cut off on its way"):
        Backbone(sha256(b"another"), "features", FEATURES, 0.0, 1.0).inspect(b"\x00" * 100, SHAPE)


def test_a_file_beyond_the_limit_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "large.onnx"
    with file.open("wb") as sparse:
        sparse.truncate(2 << 30)
    with pytest.raises(EvidenceRejected, match=f"got a file of {2 << 30} bytes, want at most {graphs.LARGEST_FILE}"):
        prepared(file, sha256(b""))


def test_a_file_that_is_not_there_says_what_fetches_it(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="wardround study approve"):
        prepared(tmp_path / "none.onnx", sha256(b""))


def test_what_is_allowed_is_an_operator_and_is_not_random() -> None:
    names = {schema.name for schema in onnx.defs.get_all_schemas_with_history()}
    assert names >= ALLOWED
    assert names >= RANDOM
    assert not ALLOWED & RANDOM
