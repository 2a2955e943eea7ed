"""PneumoniaMNIST: 5,856 paediatric chest X-rays of 28x28 grey pixels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.datasets.base import Dataset, Samples


class Pneumonia(Dataset):
    """Chest X-rays: normal or pneumonia; a pixel p in 0..255 is encoded as p - 128."""

    name = "pneumonia"
    title = "PneumoniaMNIST, paediatric chest X-rays"
    shape = (1, 28, 28)
    classes = ("normal", "pneumonia")
    input_range = (-128, 127)
    source = "MedMNIST v2, CC BY 4.0; Kermany et al., Cell 2018"

    def load(self, folders: Sequence[Path]) -> tuple[Samples, Samples]:
        """The publisher's split; training and validation images together train."""
        raise NotImplementedError
