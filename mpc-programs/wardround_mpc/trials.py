"""Models tried on samples: which of them answer right."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from Compiler.library import for_range
from Compiler.types import sint

from wardround_mpc.batches import SecretArithmetic, View, narrowed
from wardround_mpc.lockstep import Sign, alone
from wardround_mpc.reading import chunked, repeated
from wardround_mpc.selection import parts


@dataclass
class Trial:
    """Some models, each tried on equally many samples: the same ones, or from one to the next so many further on."""

    task: Any
    inputs: Any
    samples: Any
    """An array from the first model's first sample on, and of labels likewise."""
    labels: Any
    first: int
    """Of the models; 0 is the global one, and hospital j's is j + 1."""
    models: int
    each: int
    """Samples on which a model is tried."""
    apart: int
    """Samples from one model's first to the next one's; 0 where all are tried on the same."""
    correct: Any = field(init=False)
    """By class an array (models, each): 1 where a right answer is that class."""
    is_done: bool = False

    def __post_init__(self):
        self.correct = [sint.Array(self.models * self.each) for _ in range(self.task.network.classes)]
        self.at_once = self.task.at_once(self.models)
        self.longest = self.task.samples_per_block(self.at_once, self.each)

    def answered(self):
        """The chain."""
        if self.at_once == self.models and self.longest == self.each:
            yield from self._answer(0, self._weights(0), 0, self.each)
        else:
            repeated(self.models // self.at_once, self._evaluate)
        self.is_done = True

    def _evaluate(self, group):
        """As many models as go together, on one block of samples after the other."""
        parameters = self._weights(group)

        def step(start, count):
            alone(self._answer(group, parameters, start, count))

        chunked(self.each, step, longest=self.longest)

    def _weights(self, group):
        """By parameter the values of so many models."""
        parameters = {}
        inputs = self.inputs
        total = self.task.network.size
        for parameter in self.task.network.parameters:
            size = math.prod(parameter.shape)
            weights = sint.Array(self.at_once * size)

            @for_range(self.at_once)
            def _(index, parameter=parameter, size=size, weights=weights):
                m = self.first + group * self.at_once + index
                weights.assign_vector(inputs.model.get_vector(parameter.offset, size), index * size)

                @for_range(m > 0)
                def _(_):
                    update = inputs.updates.get_vector((m - 1) * total + parameter.offset, size)
                    weights.assign_vector(weights.get_vector(index * size, size) + update, index * size)

            parameters[parameter.name] = View.of(weights, (self.at_once, *parameter.shape))
        return parameters

    def _answer(self, group, parameters, start, count):
        """Store for each class whether the first largest logit of a sample is that of its class."""
        classes = self.task.network.classes
        first = group * self.at_once * self.apart + start if self.apart else start
        x = View.of(self.samples, (1, count, *self.task.network.input_shape), first * self.task.inputs)
        right = View.of(self.labels, (1, count, classes), first * classes)
        if self.apart:
            x = x.along(0, self.at_once, self.apart * self.task.inputs)
        right = right.along(0, self.at_once, self.apart * classes)
        logits = yield from narrowed(self.task.plan.stages(SecretArithmetic(), x, parameters))
        best, *rest = (logits.part(2, c, 1).vector() for c in range(classes))
        # a label is one-hot (an owner's whose is not is replaced when they are counted)
        first_class, *others = (right.part(2, c, 1).vector() for c in range(classes))
        hits = [first_class]
        for c, (logit, other) in enumerate(zip(rest, others, strict=True), start=1):
            (larger,) = yield [Sign(best - logit, 2 * self.task.plan.logit_bound)]
            hits = [(1 - larger) * hit for hit in hits] + [larger * other]
            if c < classes - 1:
                best = best + larger * (logit - best)
        for c, hit in enumerate(hits):
            for model, marks in enumerate(parts(hit, self.at_once, count)):
                self.correct[c].assign_vector(marks, (group * self.at_once + model) * self.each + start)


def on_everybodys(task, inputs, models):
    """The first `models` models, the global one before all, on all owners' samples."""
    return Trial(task, inputs, inputs.samples, inputs.labels, 0, models, task.hospitals * task.samples, 0)


def on_panels(task, inputs):
    """Every hospital's model, on the samples of the next ones in the circle."""
    around = [
        _around(array, task.hospitals, task.samples * numbers, task.panel)
        for array, numbers in ((inputs.samples, task.inputs), (inputs.labels, task.network.classes))
    ]
    return Trial(task, inputs, *around, 1, task.hospitals, task.panel * task.samples, task.samples)


def _around(array, owners, each, panel):
    """From the second owner on, once around the circle and so far on that the last model has its whole panel."""
    whole = sint.Array((owners + panel - 1) * each)
    copied = ((each, (owners - 1) * each, 0), (0, panel * each, (owners - 1) * each))
    for source, count, target in copied:

        def step(start, size, source=source, target=target):
            whole.assign_vector(array.get_vector(source + start, size), target + start)

        chunked(count, step)
    return whole
