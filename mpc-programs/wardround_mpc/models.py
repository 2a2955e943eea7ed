"""The other chain of the verification.

What follows from the right answers of every model on the samples on which it is tried.
"""

from __future__ import annotations

from Compiler.types import cint, sint

from pipeline.mpc import rule
from wardround_mpc import trials
from wardround_mpc.batches import View
from wardround_mpc.lockstep import Sign
from wardround_mpc.selection import at_least, concatenated, every, every_pair, parts, rotated, some, tally


class Models:
    """The global model and every hospital's; `updates` is told by the other chain."""

    accepted = None
    """The accept bits, a vector of n."""
    peers = None
    """1 where a model is near the global and the median one, a vector of n."""
    counts = None
    """By owner the right answers to its samples: over all classes and then of each, a vector of (1 + classes) * rows.

    With a panel, by its place in each model's. The last n rows are the hospitals' models'; before them stands the
    global model's, or with a panel one beside each hospital's, on the same samples.
    """

    def __init__(self, task, inputs, updates):
        self.task, self.inputs, self.updates, self.n = task, inputs, updates, task.hospitals
        self.classes = task.network.classes
        if task.panel is None:
            self.owners, self.rows = self.n, self.n + 1
            self.trials = [trials.on_everybodys(task, inputs, self.n + 1)]
        else:
            self.owners, self.rows = task.panel, 2 * self.n
            self.trials = [trials.on_everybodys(task, inputs, 1), trials.on_panels(task, inputs)]

    def chains(self):
        """The trials', which do not depend on one another, and after them the one that judges."""
        return [*(trial.answered() for trial in self.trials), self._judge()]

    def _judge(self):
        while self.updates.size is None or not all(trial.is_done for trial in self.trials):
            yield []
        self.counts = self._on_everybodys() if self.task.panel is None else self._on_panels()
        sums = yield from self._middle_sums()
        by_kind = parts(sums, 1 + self.classes, self.rows)
        if self.task.panel is None:
            yield from self._near(*by_kind)
        else:
            overall, *of_class = by_kind
            weakest = yield from self._weakest(of_class)
            yield from self._near(self._gains(overall), self._gains(weakest))
        while self.updates.direction is None:
            yield []
        self.accepted = every([self.updates.size * self.updates.direction, self.peers])

    def _on_everybodys(self):
        n = self.n
        valid = parts(self.updates.valid, n, 1)
        # the global model's counts stand for those of an update that is out
        weights = [self.updates.size * owner_valid.expand_to_vector(n) for owner_valid in valid]
        (trial,) = self.trials
        counts = []
        for owner in range(n):
            right = self._right(trial, owner)
            globally = [of_class.get_vector(0, 1) for of_class in right]
            of_models = [of_class.get_vector(1, n) for of_class in right]
            counts.append(self._column(globally, of_models, valid[owner], weights[owner]))
        return counts

    def _on_panels(self):
        globally, of_models = self.trials
        by_owner = [self._right(globally, owner) for owner in range(self.n)]
        by_owner = [concatenated([right[c] for right in by_owner]) for c in range(self.classes)]
        counts = []
        for place in range(self.owners):
            # of each model's owner at this place
            valid = rotated(self.updates.valid, 1 + place)
            right = [rotated(of_class, 1 + place) for of_class in by_owner]
            counts.append(self._column(right, self._right(of_models, place), valid, self.updates.size * valid))
        return counts

    def _right(self, trial, place):
        """By class the number of right answers of a trial's models to the samples of their owners at a place."""
        v = self.task.samples
        shape = (trial.models, trial.each // v, v)
        answers = [View.of(marks, shape).part(1, place, 1) for marks in trial.correct]
        return [sum(of_class.part(2, sample, 1).vector() for sample in range(v)) for of_class in answers]

    def _column(self, globally, of_models, valid, weight):
        """One owner's counts, or those of the owners at one place: the global model's by class, and the hospitals'."""
        instead, counts = rule.counts_of_invalid_owner(self.task.samples, self.classes), []
        for common, right in zip(globally, of_models, strict=True):
            gained = right - self._for_each(common)
            kept = valid * (common - instead) + instead
            counts.append(concatenated([kept, self._for_each(kept) + weight * gained]))
        return concatenated([sum(counts), *counts])

    def _for_each(self, globally):
        """What holds of the global model, beside each hospital's."""
        return globally if globally.size == self.n else globally.expand_to_vector(self.n)

    def _middle_sums(self):
        """Of each row over the owners, without those at both ends."""
        pairs, ordered = [(i, j) for i in range(self.owners) for j in range(i + 1, self.owners)], {}
        if pairs:
            (signs,) = yield [
                Sign(concatenated([self.counts[i] - self.counts[j] - 1 for i, j in pairs]), self.task.samples + 1)
            ]
            ordered = dict(zip(pairs, parts(signs, len(pairs), self.counts[0].size), strict=True))
        trimmed = rule.owners_trimmed(self.owners)
        ranks = [tally(bits) if bits else [1] for bits in every_pair(ordered, self.owners)]
        return sum(
            sum(rank[trimmed : self.owners - trimmed]) * of_owner
            for rank, of_owner in zip(ranks, self.counts, strict=True)
        )

    def _weakest(self, of_class):
        """The sums of the class that each row answers worst."""
        while len(of_class) > 1:
            pairs = len(of_class) // 2
            left, right = concatenated(of_class[:pairs]), concatenated(of_class[pairs : 2 * pairs])
            gap = left - right
            (less,) = yield [Sign(gap, self.owners * self.task.samples)]
            of_class = [*parts(right + less * gap, pairs, self.rows), *of_class[2 * pairs :]]
        return of_class[0]

    def _gains(self, sums):
        """Of each model over the global one on the same samples, after the global one's own, which is none."""
        globally, of_models = parts(sums, 2, self.n)
        return concatenated([sint(0, size=1), of_models - globally])

    def _near(self, overall, *weakest):
        """Ask of every two models whether one is so much worse, over all classes and by the class answered worst.

        The latter by one vector, or by one of each class.
        """
        n, owners, v, kinds = self.n, self.owners, self.task.samples, len(weakest)
        of_class = rule.answers_counted(owners, rule.samples_of_class(v, self.classes))
        asked = []
        for sums, total, below in (
            ([overall], rule.answers_counted(owners, v), slice(0, 2)),
            (weakest, of_class, slice(2, 4)),
        ):
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
        # gains may be losses
        largest = (200 if self.task.panel is None else 300) * owners * v
        (worse,) = yield [Sign(concatenated(asked), largest)]
        near = [1 - bits for bits in parts(worse, len(asked), n)]
        self.peers = every([*self._reached(near[:n], 1), *self._reached(near[n:], kinds)])

    def _reached(self, bits, kinds):
        """Whether the global and the median model are.

        Each kind of answers reaches some kind of the other's, so the worst the worst.
        """
        rows = [some(bits[start : start + kinds]) for start in range(0, len(bits), kinds)]
        reached = [every(rows[start : start + kinds]) for start in range(0, len(rows), kinds)]
        # the lower median: as many of all, itself among them
        return reached[0], at_least(rule.lower_median(self.n), reached[1:])
