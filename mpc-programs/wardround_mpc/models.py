"""The other chain of the verification.

Every model's right answers to every owner's samples, and what follows from them.
"""

from __future__ import annotations

import math

from Compiler.library import for_range
from Compiler.types import cint, sint

from pipeline.mpc import rule
from wardround_mpc.batches import SecretArithmetic, View, narrowed
from wardround_mpc.lockstep import Sign, alone
from wardround_mpc.reading import chunked, repeated
from wardround_mpc.selection import at_least, concatenated, every, every_pair, parts, rotated, some, tally


class Models:
    """The global model and every hospital's; `updates` is told by the other chain."""

    accepted = None
    """The accept bits, a vector of n."""
    peers = None
    """1 where a model is near the global and the median one, a vector of n."""
    counts = None
    """By owner the right answers of each model to its samples: over all classes and then of each, a vector of (1 +
    classes) * (n + 1)."""

    def __init__(self, task, inputs, updates):
        self.task, self.inputs, self.updates, self.n = task, inputs, updates, task.hospitals
        self.samples, self.classes, self.at_once = (
            task.hospitals * task.samples,
            task.network.classes,
            task.models_at_once,
        )
        # a sample's answer by class, model and sample
        self.correct = [sint.Array((self.n + 1) * self.samples) for _ in range(self.classes)]

    def judge(self):
        """The chain."""
        if self.task.is_one_block:
            yield from self._answer(0, self._weights(0), 0, self.samples)
        else:
            repeated((self.n + 1) // self.at_once, self._evaluate)
        while self.updates.size is None:
            yield []
        valid = parts(self.updates.valid, self.n, 1)
        # the global model's counts stand for those of an update that is out
        weights = [self.updates.size * owner_valid.expand_to_vector(self.n) for owner_valid in valid]
        self.counts = [self._column(owner, valid[owner], weights[owner]) for owner in range(self.n)]
        sums = yield from self._middle_sums()
        yield from self._near(*parts(sums, 1 + self.classes, self.n + 1))
        while self.updates.direction is None:
            yield []
        self.accepted = every([self.updates.size * self.updates.direction, self.peers])

    def _evaluate(self, group):
        """As many models as go together, on one block of samples after the other."""
        parameters = self._weights(group)

        def step(start, count):
            alone(self._answer(group, parameters, start, count))

        chunked(self.samples, step, longest=self.task.samples_per_block)

    def _weights(self, group):
        """By parameter the values of so many models; the first model is the global one itself."""
        parameters = {}
        inputs = self.inputs
        total = self.task.network.size
        for parameter in self.task.network.parameters:
            size = math.prod(parameter.shape)
            weights = sint.Array(self.at_once * size)

            @for_range(self.at_once)
            def _(index, parameter=parameter, size=size, weights=weights):
                m = group * self.at_once + index
                weights.assign_vector(inputs.model.get_vector(parameter.offset, size), index * size)

                @for_range(m > 0)
                def _(_):
                    update = inputs.updates.get_vector((m - 1) * total + parameter.offset, size)
                    weights.assign_vector(weights.get_vector(index * size, size) + update, index * size)

            parameters[parameter.name] = View.of(weights, (self.at_once, *parameter.shape))
        return parameters

    def _answer(self, group, parameters, start, count):
        """Store for each class whether the first largest logit of a sample is that of its class."""
        x = View.of(self.inputs.samples, (1, count, *self.task.network.input_shape), start * self.task.inputs)
        right = View.of(self.inputs.labels, (count, self.classes), start * self.classes).repeated(0, self.at_once)
        logits = yield from narrowed(self.task.plan.stages(SecretArithmetic(), x, parameters))
        best, *rest = (logits.part(2, c, 1).vector() for c in range(self.classes))
        # a label is one-hot (an owner's whose is not is replaced below)
        first, *others = (right.part(2, c, 1).vector() for c in range(self.classes))
        hits = [first]
        for c, (logit, other) in enumerate(zip(rest, others, strict=True), start=1):
            (larger,) = yield [Sign(best - logit, 2 * self.task.plan.logit_bound)]
            hits = [(1 - larger) * hit for hit in hits] + [larger * other]
            if c < self.classes - 1:
                best = best + larger * (logit - best)
        for c, hit in enumerate(hits):
            for model, marks in enumerate(parts(hit, self.at_once, count)):
                self.correct[c].assign_vector(marks, (group * self.at_once + model) * self.samples + start)

    def _column(self, owner, valid, weight):
        """One owner's counts."""
        n, v = self.n, self.task.samples
        instead, counts = rule.counts_of_invalid_owner(v, self.classes), []
        for marks in self.correct:
            samples = View.of(marks, (n + 1, n, v)).part(1, owner, 1)
            right = sum(samples.part(2, sample, 1).vector() for sample in range(v))
            globally = right.get_vector(0, 1)
            gained = right.get_vector(1, n) - globally.expand_to_vector(n)
            globally = valid * (globally - instead) + instead
            counts.append(concatenated([globally, globally.expand_to_vector(n) + weight * gained]))
        return concatenated([sum(counts), *counts])

    def _middle_sums(self):
        """Of each model over the owners, without those at both ends."""
        pairs, ordered = [(i, j) for i in range(self.n) for j in range(i + 1, self.n)], {}
        if pairs:
            (signs,) = yield [
                Sign(concatenated([self.counts[i] - self.counts[j] - 1 for i, j in pairs]), self.task.samples + 1)
            ]
            ordered = dict(zip(pairs, parts(signs, len(pairs), self.counts[0].size), strict=True))
        trimmed = rule.owners_trimmed(self.n)
        ranks = [tally(bits) if bits else [1] for bits in every_pair(ordered, self.n)]
        return sum(
            sum(rank[trimmed : self.n - trimmed]) * of_owner for rank, of_owner in zip(ranks, self.counts, strict=True)
        )

    def _near(self, overall, *of_class):
        """Ask of every two models whether one is so much worse, over all classes and by the class answered worst."""
        n, v = self.n, self.task.samples
        answered = (rule.answers_counted(n, v), rule.answers_counted(n, rule.samples_of_class(v, self.classes)))
        asked = []
        for sums, total, below in (([overall], answered[0], slice(0, 2)), (of_class, answered[1], slice(2, 4))):
            globally, median = (
                (percent * cint(total)).expand_to_vector(n) for percent in self.inputs.percentages[below]
            )
            every_model = [100 * of_models.get_vector(1, n) for of_models in sums]
            first = [100 * of_models.get_vector(0, 1).expand_to_vector(n) for of_models in sums]
            asked += [mine - theirs + globally for mine in every_model for theirs in first]
            asked += [
                mine - rotated(theirs, by) + median
                for by in range(1, n)
                for mine in every_model
                for theirs in every_model
            ]
        (worse,) = yield [Sign(concatenated(asked), 200 * n * v)]
        near = [1 - bits for bits in parts(worse, len(asked), n)]
        self.peers = every([*self._reached(near[:n], 1), *self._reached(near[n:], self.classes)])

    def _reached(self, bits, kinds):
        """Whether the global and the median model are.

        Each kind of answers reaches some kind of the other's, so the worst the worst.
        """
        rows = [some(bits[start : start + kinds]) for start in range(0, len(bits), kinds)]
        reached = [every(rows[start : start + kinds]) for start in range(0, len(rows), kinds)]
        # the lower median: as many of all, itself among them
        return reached[0], at_least(rule.lower_median(self.n), reached[1:])
