"""What every layer answers: its shapes, its torch module, and its exact integer form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pipeline.layers.arithmetic import Arithmetic, Array, Shape

if TYPE_CHECKING:
    import torch


class Layer(ABC):
    """One layer of a `torch.nn.Sequential`; subclasses are frozen dataclasses of torch's own argument names."""

    rectifies: ClassVar[bool] = False
    """Whether negative results become 0 after the layer's integer form."""

    @abstractmethod
    def output_shape(self, shape: Shape) -> Shape:
        """Shape after this layer; raises ValueError saying what input it takes."""

    def parameter_shapes(self, shape: Shape) -> dict[str, Shape]:
        """Parameter name to shape, in the order of torch's state_dict; none by default."""
        return {}

    @abstractmethod
    def torch(self, shape: Shape) -> torch.nn.Module:
        """The torch module for samples of `shape`."""

    def fold(self, following: Layer) -> Layer | None:
        """One layer with the integer form of this layer and the `following` one; None where there is no shorter form."""
        return None

    def gained_bits(self) -> int:
        """Fractional bits that the integer form adds to those of its input."""
        return 0

    def bound(self, shape: Shape, largest: int, bits: int) -> int:
        """Largest absolute value of the integer form on inputs within `largest` of `bits` fractional bits."""
        return largest

    @abstractmethod
    def evaluate(self, arithmetic: Arithmetic[Array], x: Array, parameters: Sequence[Array], shape: Shape, bits: int) -> Array:
        """The integer form, not narrowed: inputs of `shape` and `bits` fractional bits, `parameters` in state_dict order."""
