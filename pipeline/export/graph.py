"""The whole graph as torch: a batch of records to labels and shares, as `wardround predict` answers.

Where the study has a backbone, it is what follows that: features to labels and shares.
"""

from __future__ import annotations

import torch

from pipeline.datasets.features import Features
from pipeline.export.content import Content
from pipeline.train.network import module


class Whole(torch.nn.Module):
    """Records as `preparation` says, to the place of the largest share, (n,) int64, and the shares, (n, classes)."""

    def __init__(self, content: Content) -> None:
        super().__init__()
        study = content.study
        # First: readers of archives find its tensors by their numbers. ONNX finds them by its name.
        self.network = module(study.network, content.parameters)
        self.inputs = study.source.torch()

    def forward(self, records: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The largest of the shares, which softmax has rounded, as `predict` takes it."""
        shares = self.network(self.inputs(records)).softmax(dim=1)
        return shares.argmax(dim=1), shares


def example(content: Content) -> torch.Tensor:
    """Two records of zeros: a batch of one would be taken for the only size."""
    source = content.study.source
    if isinstance(source, Features):
        return torch.zeros((2, *source.shape))
    given = source.preparation["input"]
    _, *shape = given["shape"]
    return torch.zeros((2, *shape), dtype=getattr(torch, given["dtype"]))
