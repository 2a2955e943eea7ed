"""The integer form of a network, step by step, with the bit budget that proves that nothing wraps in Z_2^64."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.domain import INPUT_BITS
from pipeline.layers.addition import BLOCK, Addition
from pipeline.layers.arithmetic import ACTIVATION_BITS, VALUE_LIMIT, WEIGHT_BITS, Arithmetic, Array, WeightBounds
from pipeline.layers.base import IntegerForm, Layer
from pipeline.layers.network import Network, Parameter
from pipeline.layers.values import Values
from pipeline.layers.work import Counting, Work

_GIVEN_BITS = ACTIVATION_BITS + WEIGHT_BITS
"""Most fractional bits that go past a block: with more, hardly any results of the block could be added to them."""

_SAMPLES = -1
"""In place of a step's index: what the network is given."""


@dataclass(frozen=True)
class Step:
    """One layer, with those folded into it, and what is done to its result."""

    name: str
    """Index and class of the layers, for messages."""
    form: IntegerForm
    parameters: tuple[Parameter, ...]
    inputs: Values
    raw: Values
    """The form's results, before narrowing."""
    rectify: bool
    """Whether negative results become 0."""
    adds: int | None = None
    """Index of the step whose results an addition takes too; -1 for the samples."""
    narrowing: int = 0
    """Fractional bits dropped after the form, by a floor."""

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
        shapes = [parameter.shape for parameter in self.parameters] if self.adds is None else [self.inputs.shape]
        results = self.form.evaluate(counting, self.inputs.shape, shapes, self.inputs)
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
        added = {step.adds for step in self.steps}
        given = {_SAMPLES: x}
        for index, step in enumerate(self.steps):
            operands = [parameters[parameter.name] for parameter in step.parameters]
            if step.adds is not None:
                operands = [given[step.adds]]
            x = step.form.evaluate(arithmetic, x, operands, step.inputs)
            if step.narrowing or step.rectify:
                x = yield x, step
            if index in added:
                given[index] = x
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
    _ = network.shapes  # names a layer that does not fit
    planner = _Planner(network, Values.within(network.input_shape, INPUT_BITS, largest_input), weights)
    planner.follow(network.layers)
    return Plan(network, tuple(planner.steps))


class _Planner:
    """The steps so far."""

    def __init__(self, network: Network, samples: Values, weights: WeightBounds) -> None:
        self.steps: list[Step] = []
        self._parameters = network.parameters
        self._samples = samples
        self._weights = weights
        self._wide = 0
        """First step whose results may still be narrowed."""
        self._given: set[int] = set()
        """Steps whose results go into a block and past it, so that nothing may be done to them for the one alone."""

    def follow(self, layers: Sequence[Layer], prefix: str = "", within: str = "") -> None:
        """Add the steps of layers whose parameters' names begin with `prefix`; `within`: their place, for messages."""
        index = 0
        while index < len(layers):
            layer = layers[index]
            name = f"{within}layer {index} ({type(layer).__name__})"
            own = f"{prefix}{index}."
            index += 1
            if block := layer.block():
                given = len(self.steps) - 1
                if self._results(given).bits > _GIVEN_BITS and self.steps[self._wide :]:
                    self._narrow()
                self._given.add(given)
                self.follow(block, f"{own}{BLOCK}.", f"{name}, ")
                self._add(name, Addition(self._results(given)), adds=given)
                continue
            following = layers[index] if index < len(layers) else None
            folded = layer.fold(following) if following is not None else None
            if folded is not None:
                name += f" + {within}layer {index} ({type(following).__name__})"
                index += 1
            parameters = tuple(parameter for parameter in self._parameters if parameter.name.startswith(own))
            for form in (folded,) if folded is not None else layer.forms():
                self._add(name, form, parameters)

    def _results(self, index: int) -> Values:
        return self._samples if index == _SAMPLES else self.steps[index].outputs

    def _add(
        self, name: str, form: IntegerForm, parameters: tuple[Parameter, ...] = (), adds: int | None = None
    ) -> None:
        last = len(self.steps) - 1
        goes_on_alone = last >= 0 and last not in self._given
        if form.rectifies and goes_on_alone:
            before = self.steps[last]
            self.steps[last] = replace(before, rectify=True, name=f"{before.name} + {name}")
            return
        if form.outcome(self._results(last), self._weights).largest >= VALUE_LIMIT and self.steps[self._wide :]:
            self._narrow()
            form = self._renewed(form, adds)
        inputs = self._results(last)
        raw = form.outcome(inputs, self._weights)
        if raw.largest >= VALUE_LIMIT:
            raise ValueError(
                f"{name}: values up to 2^{raw.largest.bit_length() - 1} could arise, want less than 2^62 for an exact"
                " encrypted evaluation; use a narrower or shallower model, or ReLU6"
            )
        rectify = form.rectifies
        if form.chooses and goes_on_alone and not self.steps[last].narrowing:
            # one sign per winner instead of one per candidate
            rectify = self.steps[last].rectify
            self.steps[last] = replace(self.steps[last], rectify=False)
        if parameters:
            self._wide = len(self.steps)
        self.steps.append(Step(name, form, parameters, inputs, raw, rectify, adds))

    def _narrow(self) -> None:
        """Put one floor into the steps since the last weighted layer.

        It stands where it meets the fewest values and can share the sign with a ReLU.
        """
        # not before an addition, whose other summand would stay as it is
        first = max([self._wide, *(index for index, step in enumerate(self.steps) if step.adds is not None)])
        chosen = min(
            range(first, len(self.steps)),
            key=lambda index: (math.prod(self.steps[index].raw.shape), not self.steps[index].rectify),
        )
        step = self.steps[chosen]
        self.steps[chosen] = replace(step, narrowing=max(step.raw.bits - ACTIVATION_BITS, 0))
        for index in range(chosen + 1, len(self.steps)):
            step, inputs = self.steps[index], self._results(index - 1)
            form = self._renewed(step.form, step.adds)
            self.steps[index] = replace(step, form=form, inputs=inputs, raw=form.outcome(inputs, self._weights))
        self._wide = len(self.steps)

    def _renewed(self, form: IntegerForm, adds: int | None) -> IntegerForm:
        """The same form of what the steps result in now."""
        return form if adds is None else Addition(self._results(adds))
