"""Verification of updates: which hospitals' updates are accepted, and the next round's budget.

Parties    3 nodes, ABY3 over Z_2^64, honest majority, each following the protocol (semi-honest).
Inputs     secret, int64, replicated components from the hospitals:
             updates (hospitals, parameters)            16 fractional bits
             samples (hospitals, samples, *input)        8 fractional bits
             labels  (hospitals, samples, classes)       one-hot
           public: previous model (parameters,) 16 bits, thresholds (budget, margin of the direction, percent below
             global, percent below peers, and both percentages for the class that a model answers worst)
Learns     every node: one accept bit per hospital and one squared norm (the budget); where the study allows it, instead
           of a bit how many of the conditions size, direction, peers held before one failed (3: accepted). Nothing else
           is opened.
Exact      equal bit for bit to `pipeline.mpc.reference`; the bit budget stands in `pipeline.layers.plan` and beside
           each line here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from operator import and_
from typing import Any, NamedTuple

import jax.numpy as jnp
from arithmetic import SpuArithmetic
from oblivious import all_true, middle_sum, sort, sorted_wire
from spu.experimental import reveal

from pipeline.layers import CHECKED, Network, Plan, WeightBounds, plan
from pipeline.layers.arrays import split_parameters
from pipeline.mpc import rule

Batch = Callable[[int, int], Any]
"""Samples from one number to before another."""

_ACTIVATIONS_AT_ONCE = 4_000_000
"""Of a network's widest step, over models and samples: what keeps a party under 1 GB. A block costs messages for each
model anew, so few large ones are cheaper."""


def program(
    network: Network,
    samples: int,
    input_range: tuple[int, int],
    first_round: bool,
    names_condition: bool,
    panel: int | None,
) -> Callable[..., Any]:
    """The function that SPU evaluates, for one network and kind of round."""
    quantities_of = quantities(network, samples, input_range, first_round, panel)

    def verify(updates: Any, inputs: Any, labels: Any, previous: Any, thresholds: Any) -> Any:
        computed = quantities_of(updates, inputs, labels, previous, thresholds)
        opened, accepted = verdicts([computed.size, computed.direction, computed.peers], names_condition)
        return opened, reveal(next_budget(computed.norms, accepted, thresholds[0], len(updates), rule.NORM_CAP))

    return verify


class Quantities(NamedTuple):
    """What is computed of a round, all of it secret."""

    in_range: Any
    valid: Any
    """Of the owners' samples."""
    size: Any
    direction: Any
    peers: Any
    norms: Any
    """Squared; 0 where an update does not keep range and size."""
    counts: Any
    """(rows, owners, classes): right answers, as `tried` has them."""


def quantities(
    network: Network, samples: int, input_range: tuple[int, int], first_round: bool, panel: int | None
) -> Callable[..., Quantities]:
    """The function that computes them."""

    def computed(updates: Any, inputs: Any, labels: Any, previous: Any, thresholds: Any) -> Quantities:
        in_range = all_true(within(updates, 1 - rule.COORDINATE_CAP, rule.COORDINATE_CAP - 1))
        updates = jnp.where(in_range[:, None], updates, 0)
        norms = _squared_norms(updates)  # < 2^36 per coordinate, 2^53 for 100,000
        size_ok = in_range & _size(norms, None if first_round else thresholds[0])
        updates = jnp.where(size_ok[:, None], updates, 0)
        norms = jnp.where(size_ok, norms, 0)  # <= 2^40

        direction_ok = _direction(updates, norms, thresholds[1])

        valid, counts = tried(network, CHECKED, samples, input_range, panel, previous, updates, inputs, labels)
        peers_ok = peers(counts, len(updates), samples, thresholds[2:])
        return Quantities(in_range, valid, size_ok, direction_ok, peers_ok, norms, counts)

    return computed


def tried(
    network: Network,
    weights: WeightBounds,
    samples: int,
    input_range: tuple[int, int],
    panel: int | None,
    previous: Any,
    updates: Any,
    inputs: Any,
    labels: Any,
) -> tuple[Any, Any]:
    """Which owners' samples are valid, and the right answers of models to those on which they are tried.

    The last rows are the hospitals' models'; before them stands the global model's, or with a panel one beside each
    hospital's. An update that is out is one of zeros.
    """
    steps = plan(network, max(map(abs, input_range)), weights)
    instead = rule.counts_of_invalid_owner(samples, network.classes)
    valid = _valid(inputs, labels, *input_range)
    if panel is None:
        models = previous + jnp.concatenate([jnp.zeros_like(previous)[None], updates])
        counts = _counts(steps, models, _shared(inputs), labels[None])
        return valid, jnp.where(valid[:, None], counts, instead)
    counts = _counts(steps, previous[None], _shared(inputs), labels[None])[0]
    globally = jnp.where(valid[:, None], counts, instead)
    counts = _counts(steps, previous + updates, _windows(inputs, panel), _of_panels(labels, panel))
    counts = jnp.where(_of_panels(valid, panel)[..., None], counts, instead)
    return valid, jnp.concatenate([_of_panels(globally, panel), counts])


def _of_panels(by_owner: Any, panel: int) -> Any:
    """(hospitals, ...) to (hospitals, panel, ...): of each place in the circle what the next ones have."""
    # slices: indexing would become a gather, which SPU walks element by element
    around = jnp.concatenate([by_owner, by_owner[:panel]])
    return jnp.stack([around[step : step + len(by_owner)] for step in range(1, panel + 1)], axis=1)


def _shared(inputs: Any) -> Batch:
    """All owners' samples, (1, count, ...), on which every model is tried."""
    whole = inputs.reshape(1, -1, *inputs.shape[2:])
    return lambda start, end: whole[:, start:end]


def _windows(inputs: Any, panel: int) -> Batch:
    """Of each model those of its panel, (hospitals, count, ...): cut for one block at a time, since they overlap."""
    hospitals, samples = inputs.shape[:2]
    around = jnp.concatenate([inputs, inputs[:panel]])

    def batch(start: int, end: int) -> Any:
        pieces = []
        for place in range(start // samples, -(-end // samples)):
            first, last = max(start - place * samples, 0), min(end - place * samples, samples)
            pieces.append(around[place + 1 : place + 1 + hospitals, first:last])
        return jnp.concatenate(pieces, axis=1)

    return batch


def verdicts(conditions: Sequence[Any], names_condition: bool) -> tuple[Any, Any]:
    """What is opened of each update, and the accept bit that it tells.

    Opened is the accept bit, or how many conditions held before one failed.
    """
    held = list(accumulate(conditions, and_))
    if not names_condition:
        accepted = reveal(held[-1].astype(jnp.int64))
        return accepted, accepted
    opened = reveal(sum(condition.astype(jnp.int64) for condition in held))
    return opened, (opened == len(held)).astype(jnp.int64)


def within(values: Any, lowest: int, highest: int) -> Any:
    """Which values lie within both ends, for any value of the ring."""
    # Differences from the ends rather than comparisons with them: a comparison of far apart values wraps.
    return ~(values - lowest < 0) & ~(highest - values < 0)


def _squared_norms(updates: Any) -> Any:
    return jnp.stack([update @ update for update in updates])


def _size(norms: Any, budget: Any | None) -> Any:
    median = sorted_wire(list(norms), rule.lower_median(len(norms)))
    largest = rule.LARGEST_OVER_MEDIAN * median if budget is None else budget  # < 2^57
    reference = median if budget is None else jnp.where(median < budget, median, budget)
    return (norms <= largest) & (rule.VANISHING * norms >= reference) & (norms <= rule.NORM_CAP)  # < 2^62


def _direction(updates: Any, norms: Any, margin: Any) -> Any:
    median = sorted_wire(list(updates), rule.lower_median(len(updates)))
    # |p| <= |update| |median| <= 2^40.5 and q <= 2^41; after 12 bits are dropped the products stay below 2^61
    median_square = median @ median
    allowed = jnp.where(norms < median_square, rule.LEAST_MARGIN, margin)
    products = jnp.concatenate([updates @ median, median_square[None], norms]) >> rule.DIRECTION_BITS
    hospitals = len(updates)
    product, square, norms = products[:hospitals], products[hospitals], products[hospitals + 1 :]
    against = rule.DIRECTION_LEFT * product * product > rule.DIRECTION_RIGHT * norms * square
    return ~((product + allowed < 0) & against)  # margin <= 2^26


def _valid(inputs: Any, labels: Any, lowest: int, highest: int) -> Any:
    in_range = all_true(within(inputs, lowest, highest))
    # y (y - 1) = 0 in Z_2^64 only for 0 and 1, since one of two neighbours is odd.
    zero_or_one = all_true(labels * (labels - 1) == 0)
    return in_range & zero_or_one & all_true(labels.sum(axis=2) == 1)


def _counts(steps: Plan, models: Any, batch: Batch, labels: Any) -> Any:
    """(models, owners, classes); labels (1, owners, samples, classes) that all share, or (models, ...) of each one."""
    apart, owners, samples, classes = labels.shape
    count = owners * samples
    arithmetic, parameters = SpuArithmetic(), split_parameters(steps.network, models)
    widest = max(math.prod(shape) for shape in (steps.network.input_shape, *(step.raw.shape for step in steps.steps)))
    block = _evenly(count, max(_ACTIVATIONS_AT_ONCE // (len(models) * widest), 1))
    blocks = [(start, min(start + block, count)) for start in range(0, count, block)]
    logits = jnp.concatenate([steps.logits(arithmetic, batch(*ends), parameters) for ends in blocks], axis=1)
    expected = jnp.broadcast_to(labels.reshape(apart, count, classes), logits.shape)
    # The first maximum: a later class must be strictly higher; its label follows it.
    best, correct = logits[..., 0], expected[..., 0]
    for index in range(1, classes):
        higher = logits[..., index] > best
        best, correct = jnp.where(higher, logits[..., index], best), jnp.where(higher, expected[..., index], correct)
    # the label is one-hot (an owner's whose is not is replaced): it names the class of a right answer
    return (correct.reshape(-1, owners, samples, 1) * labels).sum(axis=2)


def _evenly(count: int, longest: int) -> int:
    """The length of the fewest blocks that are no longer."""
    return -(-count // -(-count // longest))


def peers(counts: Any, hospitals: int, samples: int, thresholds: Any) -> Any:
    """Which hospitals' models are near the global and the median one, by the four percentages."""
    owners, classes = counts.shape[1:]
    # the total as one more class: one sort serves all
    counts = jnp.concatenate([counts.sum(axis=2, keepdims=True), counts], axis=2)
    sums = middle_sum([counts[:, owner] for owner in range(owners)], rule.owners_trimmed(owners))
    weakest = sums[:, 1]
    for index in range(2, classes + 1):
        weakest = jnp.where(sums[:, index] < weakest, sums[:, index], weakest)
    of_class = rule.answers_counted(owners, rule.samples_of_class(samples, classes))
    overall = _near(_gains(sums[:, 0], hospitals), rule.answers_counted(owners, samples), thresholds[0], thresholds[1])
    return overall & _near(_gains(weakest, hospitals), of_class, thresholds[2], thresholds[3])


def _gains(sums: Any, hospitals: int) -> Any:
    """Of each hospital's model over the global one."""
    return sums[-hospitals:] - sums[:-hospitals]


def _near(gains: Any, answers: int, below_global: Any, below_peers: Any) -> Any:
    median = sorted_wire(list(gains), rule.lower_median(len(gains)))
    return (100 * gains >= -below_global * answers) & (100 * gains >= 100 * median - below_peers * answers)


def next_budget(norms: Any, accepted: Any, budget: Any, hospitals: int, largest: int) -> Any:
    """9/4 of the median of the accepted norms, each at most `largest`; the budget in force where nobody is accepted."""
    # `accepted` and its count are public here, the sorted norms are not: only the median of the accepted leaves.
    ordered = jnp.stack(sort(list(accepted * norms + (1 - accepted) * (largest + 1))))
    count = accepted.sum()
    chosen = (jnp.arange(hospitals) == (count - 1) // 2).astype(jnp.int64)
    median = (ordered * chosen).sum()
    return jnp.where(count > 0, (9 * median) >> 2, budget)
