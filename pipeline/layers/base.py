"""What every layer answers: its shapes, its torch module, its exact integer form, and the bounds of that form.

Adding a layer is adding one file: its class, named as in torch, in the file of that name (`MaxPool2d` in
`max_pool2d.py`). The table finds it there, and reference, SPU and MP-SPDZ evaluate it. Only a layer that no operation
of `Arithmetic` can express needs a new one there, with its form in each of the three backends and what it takes in
`work.Counting`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pipeline.layers.arithmetic import Arithmetic, Array, Shape, WeightBounds
from pipeline.layers.values import Values

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
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

    def forms(self) -> tuple[IntegerForm, ...]:
        """Its integer forms in turn: itself, where it is one."""
        return (self,) if isinstance(self, IntegerForm) else ()

    def block(self) -> Sequence[Layer]:
        """Layers whose results are added to this one's input, in place of integer forms; none by default."""
        return ()

    def fold(self, following: Layer) -> IntegerForm | None:
        """One integer form of this layer and the `following` one.

        None where there is no shorter form.
        """
        return None


class IntegerForm(ABC):
    """What one step of a plan does; nearly every layer has one of its own."""

    rectifies: ClassVar[bool] = False
    """Whether negative values become 0 before the integer form, by the step before."""

    chooses: ClassVar[bool] = False
    """Whether every result is the largest of some inputs, so that a floor or ReLU before the layer may follow it
    instead."""

    @abstractmethod
    def outcome(self, inputs: Values, weights: WeightBounds) -> Values:
        """What holds for the results, not narrowed."""

    @abstractmethod
    def evaluate(self, arithmetic: Arithmetic[Array], x: Array, operands: Sequence[Array], inputs: Values) -> Array:
        """The results, not narrowed; `operands` are a layer's parameters in state_dict order."""
