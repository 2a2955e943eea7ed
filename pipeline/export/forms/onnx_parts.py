"""The parts of an ONNX file: what torch's exporter writes of a module, and a backbone between two of these."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.datasets import Dataset
from pipeline.datasets.backbone.graph import opset, picture_input
from pipeline.datasets.features import Features
from pipeline.errors import Misconfigured, Unavailable
from pipeline.export.content import LABEL, SHARES

if TYPE_CHECKING:
    import onnx
    import torch

_PICTURES, _BACKBONE = "pictures/", "backbone/"
"""Begin the names of all that stands before the trained layers, whose own stay torch's."""
_MADE, _FEATURES = "inputs", "features"


def exported(
    module: torch.nn.Module, example: torch.Tensor, inputs: Sequence[str], outputs: Sequence[str], opset: int
) -> onnx.ModelProto:
    """A module on batches such as `example`, as the exporter writes it."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=({0: torch.export.Dim("records")},),
            opset_version=opset,
            optimize=False,  # it drops weights that change nothing, such as biases of 0
            verbose=False,
        )
    if program is None:
        raise Unavailable("onnx: torch's exporter made nothing")
    return program.model_proto


def joined(source: Dataset, backbone: bytes, head: torch.nn.Module, example: torch.Tensor) -> onnx.ModelProto:
    """Pictures, backbone and trained layers in one graph, from levels to what `head` answers to features."""
    import onnx
    import torch
    from onnx import compose

    if not isinstance(source, Features):
        raise Misconfigured("onnx: got a backbone of a study that names none, want its own")
    public = onnx.ModelProto.FromString(backbone)
    version = opset(public)
    name = source.preparation["input"]["name"]
    levels = torch.zeros((2, *source.pictures.shape), dtype=torch.uint8)
    before = exported(source.pictures.torch(), levels, [name], [_MADE], version)
    after = exported(head, example, [_FEATURES], [LABEL, SHARES], version)
    picture = picture_input(public)
    del public.metadata_props[:]
    newest = max(before.ir_version, public.ir_version)
    for model in (before, public, after):
        model.ir_version = newest
        _write_in(model, version)
    before = compose.add_prefix(before, _PICTURES, rename_inputs=False)
    public = compose.add_prefix(public, _BACKBONE)
    seen = compose.merge_models(
        before,
        public,
        io_map=[(f"{_PICTURES}{_MADE}", f"{_BACKBONE}{picture}")],
        outputs=[f"{_BACKBONE}{source.backbone.output}"],
    )
    joint = [(f"{_BACKBONE}{source.backbone.output}", _FEATURES)]
    whole: onnx.ModelProto = compose.merge_models(seen, after, io_map=joint, outputs=[LABEL, SHARES])
    _write_in(whole, version)  # the three say it once each
    return whole


def _write_in(model: onnx.ModelProto, version: int) -> None:
    """Name ONNX's own operators in one version, and no others."""
    import onnx

    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", version))
