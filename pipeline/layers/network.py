"""A sequence of layers with every shape and the place of every parameter in the flat vector."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline.layers.arithmetic import Shape
from pipeline.layers.base import Layer


@dataclass(frozen=True)
class Parameter:
    """One parameter tensor's place in the flat vector; `name` is torch's state_dict name."""

    name: str
    shape: Shape
    offset: int

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Network:
    """Layers applied in turn to samples of `input_shape`; the last output is one logit per class."""

    input_shape: Shape
    layers: tuple[Layer, ...]

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Input shape of each layer, then the output shape; raises ValueError naming the layer that does not fit."""
        shapes = [self.input_shape]
        for index, layer in enumerate(self.layers):
            try:
                shapes.append(layer.output_shape(shapes[-1]))
            except ValueError as error:
                raise ValueError(f"layer {index} ({type(layer).__name__}) {error}") from None
        return tuple(shapes)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Every parameter, in the order of torch's state_dict."""
        parameters: list[Parameter] = []
        offset = 0
        for index, (layer, shape) in enumerate(zip(self.layers, self.shapes, strict=False)):
            for name, parameter_shape in layer.parameter_shapes(shape).items():
                parameters.append(Parameter(f"{index}.{name}", parameter_shape, offset))
                offset += parameters[-1].size
        return tuple(parameters)

    @property
    def size(self) -> int:
        """Length of the flat parameter vector."""
        return sum(parameter.size for parameter in self.parameters)

    @property
    def classes(self) -> int:
        """Number of logits."""
        return math.prod(self.shapes[-1])
