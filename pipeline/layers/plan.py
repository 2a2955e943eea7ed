"""The integer form of a network, step by step, with the bit budget that proves that nothing wraps in Z_2^64."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pipeline.domain import INPUT_BITS
from pipeline.layers.arithmetic import ACTIVATION_BITS, VALUE_LIMIT, Arithmetic, Array, Shape
from pipeline.layers.base import Layer
from pipeline.layers.network import Network, Parameter


@dataclass(frozen=True)
class Step:
    """One layer, with those folded into it, and what is done to its result."""

    name: str
    """Index and class of the layers, for messages."""
    layer: Layer
    parameters: tuple[Parameter, ...]
    input_shape: Shape
    output_shape: Shape
    input_bits: int
    """Fractional bits of the inputs."""
    bound: int
    """Largest absolute value before narrowing."""
    narrowing: int
    """Fractional bits dropped after the layer, by a floor."""
    rectify: bool
    """Whether negative results become 0."""

    @property
    def output_bits(self) -> int:
        """Fractional bits of the results."""
        return self.input_bits + self.layer.gained_bits() - self.narrowing

    @property
    def output_bound(self) -> int:
        """Largest absolute value after narrowing."""
        return -(-self.bound >> self.narrowing)


@dataclass(frozen=True)
class Plan:
    """What every engine evaluates for one network."""

    network: Network
    steps: tuple[Step, ...]

    @property
    def logit_bound(self) -> int:
        """Largest absolute value of a logit."""
        return self.steps[-1].output_bound

    def logits(self, arithmetic: Arithmetic[Array], x: Array, parameters: Mapping[str, Array]) -> Array:
        """Raw logits of a batch; `parameters` by the names of `network.parameters`."""
        for step in self.steps:
            own = [parameters[parameter.name] for parameter in step.parameters]
            x = step.layer.evaluate(arithmetic, x, own, step.input_shape, step.input_bits)
            if step.narrowing or step.rectify:
                x = arithmetic.narrow(x, step.narrowing, step.rectify, step.bound)
        return x


def plan(network: Network, largest_input: int) -> Plan:
    """The steps for inputs within `largest_input` (8 fractional bits); raises ValueError naming the layer whose bound reaches 2**62."""
    steps: list[Step] = []
    shape, bits, largest = network.input_shape, INPUT_BITS, largest_input
    last_weighted = max((index for index, layer in enumerate(network.layers) if layer.parameter_shapes(network.shapes[index])), default=-1)
    index = 0
    while index < len(network.layers):
        first, layer = index, network.layers[index]
        following = network.layers[index + 1] if index + 1 < len(network.layers) else None
        folded = layer.fold(following) if following is not None else None
        if folded is not None:
            layer, index = folded, index + 1
        index += 1
        name = " + ".join(f"layer {i} ({type(network.layers[i]).__name__})" for i in range(first, index))
        if layer.rectifies and steps:
            steps[-1] = replace(steps[-1], rectify=True, name=f"{steps[-1].name} + {name}")
            continue
        bound = layer.bound(shape, largest, bits)
        if bound >= VALUE_LIMIT:
            raise ValueError(
                f"{name}: values up to 2^{bound.bit_length() - 1} could arise, want less than 2^62 for an exact encrypted evaluation; "
                "use a narrower or shallower model"
            )
        parameters = tuple(parameter for parameter in network.parameters if parameter.name.startswith(f"{first}."))
        dropped = bits + layer.gained_bits() - ACTIVATION_BITS if parameters else layer.gained_bits()
        narrowing = 0 if first == last_weighted else dropped
        step = Step(name, layer, parameters, shape, layer.output_shape(shape), bits, bound, narrowing, layer.rectifies)
        steps.append(step)
        shape, bits, largest = step.output_shape, step.output_bits, step.output_bound
    return Plan(network, tuple(steps))
