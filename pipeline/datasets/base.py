"""What a data set plug-in answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Samples:
    """Encoded records: `inputs` (n, *shape) int16 with 8 fractional bits, `labels` (n,) int64 in 0..classes-1."""

    inputs: npt.NDArray[np.int16]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> Samples:
        return Samples(self.inputs[rows], self.labels[rows])

    def __repr__(self) -> str:
        return f"Samples({len(self)} records)"


class Dataset(ABC):
    """One data set: public shape and encoding, and where its records come from."""

    name: ClassVar[str]
    title: ClassVar[str]
    shape: ClassVar[tuple[int, ...]]
    """Shape of one sample: (channels, height, width) or (features,)."""
    classes: ClassVar[tuple[str, ...]]
    """Class names in the order of their labels."""
    input_range: ClassVar[tuple[int, int]]
    """Smallest and largest encoded input, 8 fractional bits; checked under encryption too."""
    source: ClassVar[str]
    """Publisher and licence."""

    @abstractmethod
    def load(self, folders: Sequence[Path]) -> tuple[Samples, Samples]:
        """Training and test samples; raises Misconfigured saying where it looked and how to get the data."""
