"""What every layer answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

Shape = tuple[int, ...]
"""Shape of one sample, without the batch: (channels, height, width) or (features,)."""


class Layer(ABC):
    """One layer of a `torch.nn.Sequential`; subclasses are frozen dataclasses of torch's own argument names."""

    @abstractmethod
    def output_shape(self, shape: Shape) -> Shape:
        """Shape after this layer; raises ValueError saying what input it takes."""

    def parameter_shapes(self, shape: Shape) -> dict[str, Shape]:
        """Parameter name to shape, in the order of torch's state_dict; none by default."""
        return {}

    @abstractmethod
    def torch(self, shape: Shape) -> torch.nn.Module:
        """The torch module for samples of `shape`."""
