"""The rule and the trimmed mean in plain integers: the oracle of every engine's tests, never run in a round.

Step by step, on updates of 16 fractional bits and inputs of 8:
  range      an update with a coordinate outside its cap is out, before anything is squared; so are an owner's samples
             out of range
  size       the squared norm lies within the budget (first round: 9 times the median) and above a 400th of the median
  direction  the cosine to the coordinate-wise median update is not below -0.4, or the inner product with it is not
             below -1/4 of the budget (of STILL, where that is more or the update is shorter than it)
  peers      the sum of the middle correct counts over its owners' samples gains about as much over the global model's
             as the median model's does, or loses little, and so does the sum of the class that it answers worst; its
             owners are all, or a panel of them, on whose samples the global model is compared with it too
  budget     9/4 of the median squared norm of the accepted
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.domain import COORDINATE_CAP, NORM_CAP, Condition, HospitalName
from pipeline.layers import plan
from pipeline.layers.arrays import ArrayArithmetic, split_parameters
from pipeline.mpc import panels, rule
from pipeline.mpc.engines.base import AggregateTask, Payload, RangeTask, VerifyTask

Words = npt.NDArray[np.int64]

Counting = Callable[[VerifyTask, Words, Words, Words], Words]
"""What `counts` computes; the laboratory has a faster one that a test holds to be equal."""


@dataclass(frozen=True)
class Verification:
    """Everything that the rule computes; only `accepted` and `budget` are ever revealed by an engine."""

    accepted: tuple[bool, ...]
    budget: int
    in_range: tuple[bool, ...]
    valid_owner: tuple[bool, ...]
    size: tuple[bool, ...]
    direction: tuple[bool, ...]
    peers: tuple[bool, ...]
    squared_norms: tuple[int, ...]
    """0 where an update is out."""
    products: tuple[int, ...]
    """Inner products with the median update, as `squared_norms`; `rule.DIRECTION_BITS` dropped by a floor."""
    median_square: int
    """The median update's own, likewise."""
    counts: Words
    """Correct answers, (rows, owners, classes); the last rows are the hospitals' models'.

    Before them stands the global model's row, or with a panel one beside each hospital's, on the same samples."""

    @property
    def failed(self) -> tuple[Condition | None, ...]:
        """The first condition that each update failed, None where accepted."""
        return first_failed(self.accepted, self.size, self.direction)


def first_failed(
    accepted: Sequence[bool], size: Sequence[bool], direction: Sequence[bool]
) -> tuple[Condition | None, ...]:
    """The first condition that each update failed, None where accepted."""
    conditions = (Condition.SIZE, Condition.DIRECTION, Condition.PEERS)
    held = zip(size, direction, accepted, strict=True)
    return tuple(
        next((condition for condition, bit in zip(conditions, bits, strict=True) if not bit), None) for bits in held
    )


def verify(task: VerifyTask, payloads: Mapping[HospitalName, Words]) -> tuple[tuple[bool, ...], int]:
    """Accept bit per hospital and next round's budget, from each hospital's payload (update, inputs, labels)."""
    verification = explain(task, payloads)
    return verification.accepted, verification.budget


def explain(task: VerifyTask, payloads: Mapping[HospitalName, Words], counting: Counting | None = None) -> Verification:
    """The verification with its secret parts."""
    updates = updates_of(task, payloads)
    in_range = [bool(np.all(_within(update, COORDINATE_CAP))) for update in updates]
    updates = updates * np.array(in_range)[:, None]

    norms = [int(update @ update) for update in updates]  # < 2^54 within the cap
    size_ok = [ok and _size(norm, norms, task.rule.budget) for ok, norm in zip(in_range, norms, strict=True)]
    updates = updates * np.array(size_ok)[:, None]
    norms = [norm * ok for norm, ok in zip(norms, size_ok, strict=True)]

    median = np.sort(updates, axis=0)[rule.lower_median(len(updates))]
    # within the caps no sum wraps: |p| <= |update| |median|, and the median's norm is at most twice the largest
    products = [int(update @ median) >> rule.DIRECTION_BITS for update in updates]
    median_square = int(median @ median)
    margin = rule.direction_margin(task.rule.budget)
    direction_ok = [
        _direction(product, margin, median_square, norm) for product, norm in zip(products, norms, strict=True)
    ]

    valid, correct = tried(task, updates, payloads, counting)
    peers_ok = peers(task, correct)

    accepted = tuple(bool(a and b and c) for a, b, c in zip(size_ok, direction_ok, peers_ok, strict=True))
    kept = sorted(norm for norm, ok in zip(norms, accepted, strict=True) if ok)
    budget = rule.floored(rule.next_budget(kept[rule.lower_median(len(kept))]) if kept else task.rule.budget or 0)
    return Verification(
        accepted,
        budget,
        tuple(in_range),
        valid,
        tuple(size_ok),
        tuple(direction_ok),
        tuple(peers_ok),
        tuple(norms),
        tuple(products),
        median_square >> rule.DIRECTION_BITS,
        correct,
    )


def updates_of(task: VerifyTask, payloads: Mapping[HospitalName, Words]) -> Words:
    """The updates in the hospitals' payloads, (hospitals, P)."""
    return np.stack([payloads[hospital][: task.network.size] for hospital in task.hospitals])


def tried(
    task: VerifyTask, updates: Words, payloads: Mapping[HospitalName, Words], counting: Counting | None = None
) -> tuple[tuple[bool, ...], Words]:
    """Which owners' samples are valid, and every model's correct answers to those on which it is tried.

    An update that is out is one of zeros. The answers are `Verification.counts`.
    """
    size = task.network.size
    samples = task.rule.samples
    classes = task.network.classes
    inputs_end = Payload(task.network, samples).length - samples * classes
    vectors = [payloads[hospital] for hospital in task.hospitals]
    inputs = np.stack([vector[size:inputs_end].reshape(samples, *task.network.input_shape) for vector in vectors])
    labels = np.stack([vector[inputs_end:].reshape(samples, classes) for vector in vectors])
    lowest, highest = task.rule.input_range
    valid = np.array([_valid(x, y, lowest, highest) for x, y in zip(inputs, labels, strict=True)])
    models = task.previous_model + np.concatenate([np.zeros_like(updates[:1]), updates])
    correct = (counting or counts)(task, models, inputs, labels)
    correct = np.where(valid[:, None], correct, rule.counts_of_invalid_owner(samples, classes))
    return tuple(valid.tolist()), correct if task.panel is None else _of_panels(correct, task.panel)


def _of_panels(correct: Words, panel: int) -> Words:
    """Of (1 + hospitals, owners, classes) the global model's on each panel, and then each hospital's on its own."""
    hospitals = correct.shape[1]
    owners = np.array([panels.members(place, hospitals, panel) for place in range(hospitals)])
    return np.concatenate([correct[0][owners], correct[1:][np.arange(hospitals)[:, None], owners]])


def check_range(task: RangeTask, vectors: Mapping[HospitalName, Words]) -> tuple[bool, ...]:
    """Per hospital whether each of its vector's first `size` coordinates lies strictly within the cap."""
    return tuple(bool(np.all(_within(vectors[hospital][: task.size], COORDINATE_CAP))) for hospital in task.hospitals)


def aggregate(task: AggregateTask, updates: Mapping[HospitalName, Words]) -> tuple[Words, int]:
    """Per coordinate the sum of the middle updates and their number; each update (size,)."""
    trimmed = rule.updates_trimmed(len(task.hospitals))
    ordered = np.sort(np.stack([updates[hospital][: task.size] for hospital in task.hospitals]), axis=0)
    middle = ordered[trimmed : len(task.hospitals) - trimmed]
    count = rule.updates_averaged(len(task.hospitals))
    total: Words = middle.sum(axis=0, dtype=np.int64)
    if count < len(middle):
        total = total - np.where(middle[-1] - middle[-2] > middle[1] - middle[0], middle[-1], middle[0])
    return total, count


def _within(update: Words, cap: int) -> npt.NDArray[np.bool_]:
    # not abs(): the absolute value of -2^63 wraps to itself
    return (update < cap) & (update > -cap)


def _size(norm: int, norms: list[int], budget: int | None) -> bool:
    median = sorted(norms)[rule.lower_median(len(norms))]
    within = norm <= (rule.LARGEST_OVER_MEDIAN * median if budget is None else budget)
    reference = median if budget is None else min(median, budget)
    return within and rule.VANISHING * norm >= reference and norm <= NORM_CAP


def _direction(product: int, margin: int, median_square: int, norm: int) -> bool:
    against = rule.DIRECTION_LEFT * product**2
    limit = rule.DIRECTION_RIGHT * (norm >> rule.DIRECTION_BITS) * (median_square >> rule.DIRECTION_BITS)
    allowed = rule.LEAST_MARGIN if norm < median_square else margin
    return not (product + allowed < 0 and against > limit)


def _valid(inputs: Words, labels: Words, lowest: int, highest: int) -> bool:
    in_range = np.all((inputs >= lowest) & (inputs <= highest))
    one_hot = np.all((labels == 0) | (labels == 1)) and np.all(labels.sum(axis=1) == 1)
    return bool(in_range and one_hot)


def counts(task: VerifyTask, models: Words, inputs: Words, labels: Words) -> Words:
    """Correct answers by class, (models, owners, classes).

    Of models (m, P) to samples (owners, v, ...) with labels (owners, v, classes).
    """
    owners, samples = inputs.shape[:2]
    batch = inputs.reshape(1, owners * samples, *task.network.input_shape)
    arithmetic = ArrayArithmetic(np)
    steps = plan(task.network, max(map(abs, task.rule.input_range)), task.weights)
    logits = np.stack(
        [steps.logits(arithmetic, batch, split_parameters(task.network, model[None]))[0] for model in models]
    )
    return correct_per_class(logits.argmax(axis=2).reshape(len(models), owners, samples), labels)


def correct_per_class(answers: Words, labels: Words) -> Words:
    """Counts (models, owners, classes) of answers (models, owners, v) that equal the label, by class."""
    answered = np.eye(labels.shape[2], dtype=np.int64)[answers]
    correct: Words = np.einsum("mosc,osc->moc", answered, labels)
    return correct


def judged(counts: Words) -> tuple[Words, Words]:
    """Of counts (rows, owners, classes) each row's sum over the middle owners.

    Also the sum of the class that is answered worst.
    """
    owners = counts.shape[1]
    trimmed = rule.owners_trimmed(owners)

    def middle(by_owner: Words) -> Words:
        sums: Words = np.sort(by_owner, axis=1)[:, trimmed : owners - trimmed].sum(axis=1)
        return sums

    return middle(counts.sum(axis=2)), middle(counts).min(axis=1)


def peers(task: VerifyTask, counts: Words) -> list[bool]:
    """Which models are near the global and the median one, from what `tried` counted."""
    hospitals = len(task.hospitals)
    owners = counts.shape[1]
    samples = task.rule.samples
    numbers = task.rule
    overall, weakest = (sums[-hospitals:] - sums[:-hospitals] for sums in judged(counts))
    answers = rule.answers_counted(owners, samples)
    of_class = rule.answers_counted(owners, rule.samples_of_class(samples, task.network.classes))
    near = _near(overall, answers, numbers.below_global_percent, numbers.below_peers_percent)
    near_in_class = _near(
        weakest, of_class, numbers.weakest_class_below_global_percent, numbers.weakest_class_below_peers_percent
    )
    return [a and b for a, b in zip(near, near_in_class, strict=True)]


def _near(gains: Words, answers: int, below_global: int, below_peers: int) -> list[bool]:
    """Of each model's gain over the global one."""
    median = sorted(gains.tolist())[rule.lower_median(len(gains))]
    return [
        100 * gain >= -below_global * answers and 100 * gain >= 100 * median - below_peers * answers
        for gain in gains.tolist()
    ]
