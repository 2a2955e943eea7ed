"""A backbone between two graphs of torch's exporter, in each version of ONNX's operators that it may be written in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.datasets.backbone import backbone_path
from pipeline.datasets.backbone.graph import NEWEST_OPSET, OLDEST_OPSET
from pipeline.datasets.schema import BackboneSchema, ImagesSchema
from pipeline.evidence.canonical import sha256
from pipeline.export.content import LABEL, SHARES
from pipeline.export.forms.onnx_parts import joined
from pipeline.host.files import write_atomic
from tests.support.backbones import FEATURES, SIDE, graph, lines, written


@pytest.mark.timeout(600)
@pytest.mark.parametrize("opset", [OLDEST_OPSET, NEWEST_OPSET])
def test_the_joined_graph_is_what_its_parts_are_one_after_the_other(opset: int, tmp_path: Path) -> None:
    import onnxruntime
    import torch

    data = written(graph(), opset=opset)
    write_atomic(backbone_path(tmp_path, sha256(data)), data)
    images = ImagesSchema.model_validate(
        {"size": [SIDE, SIDE], "classes": ["clear", "striped"], "mean": [120], "deviation": [50]}
    )
    source = BackboneSchema.model_validate(lines(data)).dataset(images.dataset("stripes"))

    class Head(torch.nn.Module):
        """Features, standardised, to a label and shares."""

        def __init__(self) -> None:
            super().__init__()
            self.inputs = source.torch()

        def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            scores = self.inputs(features)
            return scores.argmax(dim=1), torch.softmax(scores, dim=1)

    whole = joined(source, data, Head().eval(), torch.zeros((2, FEATURES)))
    assert [entry.version for entry in whole.opset_import] == [opset]
    session = onnxruntime.InferenceSession(whole.SerializeToString(), providers=["CPUExecutionProvider"])
    levels = np.random.default_rng(2).integers(0, 256, (3, 1, SIDE, SIDE)).astype(np.uint8)
    label, shares = session.run([LABEL, SHARES], {session.get_inputs()[0].name: levels})
    inputs = torch.from_numpy(source.keeping(tmp_path).encode(levels) / 256)
    np.testing.assert_array_equal(label, inputs.argmax(dim=1))
    np.testing.assert_allclose(shares, torch.softmax(inputs, dim=1), atol=1e-2)
