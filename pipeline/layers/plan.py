"""The integer form of a network, step by step, with the bit budget that proves that nothing wraps in Z_2^64."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace

from pipeline.domain import INPUT_BITS
from pipeline.layers.arithmetic import ACTIVATION_BITS, VALUE_LIMIT, Arithmetic, Array, WeightBounds
from pipeline.layers.base import Layer
from pipeline.layers.network import Network, Parameter
from pipeline.layers.values import Values
from pipeline.layers.work import Counting, Work


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

    def work(self, merges_kernels: bool = False) -> Work:
        """Of one model on one sample; `merges_kernels` as for `Counting`."""
        counting = Counting(merges_kernels)
        shapes = [parameter.shape for parameter in self.parameters]
        results = self.layer.evaluate(counting, self.inputs.shape, shapes, self.inputs)
        if self.narrowing or self.rectify:
            counting.narrow(results, self.narrowing, self.rectify, self.bound)
        return counting.work


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
        stages = self.stages(arithmetic, x, parameters)
        try:
            x, step = next(stages)
            while True:
                x, step = stages.send(arithmetic.narrow(x, step.narrowing, step.rectify, step.bound))
        except StopIteration as end:
            logits: Array = end.value
            return logits

    def stages(
        self, arithmetic: Arithmetic[Array], x: Array, parameters: Mapping[str, Array]
    ) -> Generator[tuple[Array, Step], Array, Array]:
        """The same, stopping wherever a step's results are to be narrowed.

        Yields them and is sent the narrowed ones.
        """
        for step in self.steps:
            step_parameters = [parameters[parameter.name] for parameter in step.parameters]
            x = step.layer.evaluate(arithmetic, x, step_parameters, step.inputs)
            if step.narrowing or step.rectify:
                x = yield x, step
        return x

    def work(self, merges_kernels: bool = False) -> Work:
        """Of one model that answers one sample: its logits, and which of them is the largest."""
        others = self.network.classes - 1
        return sum((step.work(merges_kernels) for step in self.steps), Work(others, others))


def plan(network: Network, largest_input: int, weights: WeightBounds) -> Plan:
    """The steps for inputs within `largest_input` (8 fractional bits) and weights within their bounds.

    Raises ValueError naming the layer whose bound reaches 2**62.

    Values keep all their fractional bits until a layer's results could reach 2**62; then those before it are narrowed
    to 12.
    """
    steps: list[Step] = []
    wide = 0
    """First step whose results may still be narrowed."""
    values = Values.within(network.input_shape, INPUT_BITS, largest_input)
    # names a layer that does not fit
    index = 0
    _ = network.shapes
    while index < len(network.layers):
        first = index
        layer = network.layers[index]
        following = network.layers[index + 1] if index + 1 < len(network.layers) else None
        folded = layer.fold(following) if following is not None else None
        if folded is not None:
            layer = folded
            index = index + 1
        index += 1
        name = " + ".join(f"layer {i} ({type(network.layers[i]).__name__})" for i in range(first, index))
        if layer.rectifies and steps:
            steps[-1] = replace(steps[-1], rectify=True, name=f"{steps[-1].name} + {name}")
            continue
        if layer.outcome(values, weights).largest >= VALUE_LIMIT and steps[wide:]:
            steps[wide:] = _narrowed(steps[wide:], weights)
            wide = len(steps)
            values = steps[-1].outputs
        raw = layer.outcome(values, weights)
        if raw.largest >= VALUE_LIMIT:
            raise ValueError(
                f"{name}: values up to 2^{raw.largest.bit_length() - 1} could arise, want less than 2^62 for an exact"
                " encrypted evaluation; use a narrower or shallower model"
            )
        rectify = layer.rectifies
        if layer.chooses and steps and not steps[-1].narrowing:
            # one sign per winner instead of one per candidate
            rectify = steps[-1].rectify
            steps[-1] = replace(steps[-1], rectify=False)
        parameters = tuple(parameter for parameter in network.parameters if parameter.name.startswith(f"{first}."))
        if parameters:
            wide = len(steps)
        steps.append(Step(name, layer, parameters, values, raw, 0, rectify))
        values = raw
    return Plan(network, tuple(steps))


def _narrowed(steps: list[Step], weights: WeightBounds) -> list[Step]:
    """The steps since the last weighted layer with one floor.

    The floor stands where it meets the fewest values and can share the sign with a ReLU.
    """
    index = min(range(len(steps)), key=lambda candidate: math.prod(steps[candidate].raw.shape))
    chosen = steps[index]
    done = [*steps[:index], replace(chosen, narrowing=max(chosen.raw.bits - ACTIVATION_BITS, 0))]
    for step in steps[index + 1 :]:
        inputs = done[-1].outputs
        done.append(replace(step, inputs=inputs, raw=step.layer.outcome(inputs, weights)))
    return done
