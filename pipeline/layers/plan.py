"""The integer form of a network, step by step, with the bit budget that proves that nothing wraps in Z_2^64."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pipeline.domain import INPUT_BITS
from pipeline.layers.arithmetic import ACTIVATION_BITS, VALUE_LIMIT, Arithmetic, Array
from pipeline.layers.base import Layer
from pipeline.layers.network import Network, Parameter
from pipeline.layers.values import Values


@dataclass(frozen=True)
class Step:
    """One layer, with those folded into it, and what is done to its result."""

    name: str
    """Index and class of the layers, for messages."""
    layer: Layer
    parameters: tuple[Parameter, ...]
    inputs: Values
    raw: Values
    """The layer's results, before narrowing."""
    narrowing: int
    """Fractional bits dropped after the layer, by a floor."""
    rectify: bool
    """Whether negative results become 0."""

    @property
    def bound(self) -> int:
        """Largest absolute value before narrowing."""
        return self.raw.largest

    @property
    def outputs(self) -> Values:
        """The results after narrowing."""
        return self.raw.narrowed(self.narrowing) if self.narrowing else self.raw


@dataclass(frozen=True)
class Plan:
    """What every engine evaluates for one network."""

    network: Network
    steps: tuple[Step, ...]

    @property
    def logit_bound(self) -> int:
        """Largest absolute value of a logit."""
        return self.steps[-1].outputs.largest

    def logits(self, arithmetic: Arithmetic[Array], x: Array, parameters: Mapping[str, Array]) -> Array:
        """Raw logits of a batch; `parameters` by the names of `network.parameters`."""
        for step in self.steps:
            own = [parameters[parameter.name] for parameter in step.parameters]
            x = step.layer.evaluate(arithmetic, x, own, step.inputs)
            if step.narrowing or step.rectify:
                x = arithmetic.narrow(x, step.narrowing, step.rectify, step.bound)
        return x


def plan(network: Network, largest_input: int) -> Plan:
    """The steps for inputs within `largest_input` (8 fractional bits); raises ValueError naming the layer whose bound reaches 2**62."""
    steps: list[Step] = []
    values = Values.within(network.input_shape, INPUT_BITS, largest_input)
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
        narrowing, rectify = 0, layer.rectifies
        if layer.chooses and steps:
            # one floor and one sign per result instead of one per candidate
            narrowing, rectify, values = steps[-1].narrowing, steps[-1].rectify, steps[-1].raw
            steps[-1] = replace(steps[-1], narrowing=0, rectify=False)
        raw = layer.outcome(values)
        if raw.largest >= VALUE_LIMIT:
            raise ValueError(
                f"{name}: values up to 2^{raw.largest.bit_length() - 1} could arise, want less than 2^62 for an exact encrypted "
                "evaluation; use a narrower or shallower model"
            )
        parameters = tuple(parameter for parameter in network.parameters if parameter.name.startswith(f"{first}."))
        if parameters and first != last_weighted:
            narrowing = raw.bits - ACTIVATION_BITS
        elif not parameters:
            narrowing += layer.gained_bits()
        steps.append(Step(name, layer, parameters, values, raw, narrowing, rectify))
        values = steps[-1].outputs
    return Plan(network, tuple(steps))
