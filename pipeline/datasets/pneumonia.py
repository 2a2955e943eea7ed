"""PneumoniaMNIST: 5,856 paediatric chest X-rays of 28x28 grey pixels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.datasets import publishers
from pipeline.datasets.base import Records
from pipeline.datasets.images import Images


class Pneumonia(Images):
    """Chest X-rays: normal or pneumonia."""

    name = "pneumonia"
    title = "PneumoniaMNIST, paediatric chest X-rays"
    shape = (1, 28, 28)
    classes = ("normal", "pneumonia")
    input_range = (-128, 127)
    published_split = True
    source = "MedMNIST v2, CC BY 4.0; Kermany et al., Cell 2018"

    def load(self, folders: Sequence[Path]) -> tuple[Records, Records]:
        """The publisher's split; training and validation images together train."""
        with np.load(publishers.find(self.name, folders) / "pneumoniamnist.npz", allow_pickle=False) as archive:
            parts = {split: _records(split, archive) for split in ("train", "val", "test")}
        train = [parts["train"], parts["val"]]
        return Records(*(np.concatenate(arrays) for arrays in zip(*train, strict=True))), Records(*parts["test"])


def _records(split: str, archive: np.lib.npyio.NpzFile) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    images = archive[f"{split}_images"]
    labels = archive[f"{split}_labels"]
    return np.array([f"{split}-{row:05d}" for row in range(len(images))]), images, labels.ravel().astype(np.int64)
