"""The large-model mode's checks in plain integers: the oracle of every engine's tests, never run in a round.

Like `pipeline.mpc.reference` step by step, but for range, size and direction on the projections of the updates instead
of their coordinates:
  range      an update with a projection outside the cap is out, before anything is squared
  size       the squared norm, estimated from the projections, lies within 8/5 of the budget (first round: 9 times the
             median estimate) and above a 400th of the median
  direction  the cosine to the median over the hospitals of each projection is not below -0.4, or the estimated inner
             product with it is not below -1/4 of the budget (of STILL, where that is more or the update is shorter)
  peers      as there: every model is evaluated whole, on its owners' samples
  budget     9/4 of the median estimate of the accepted
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.domain import NORM_CAP, Condition, HospitalName
from pipeline.mpc import reference, rule
from pipeline.mpc.engines.base import AggregateTask, ProjectedTask
from pipeline.mpc.projections import project
from pipeline.mpc.reference import Counting, Words


@dataclass(frozen=True)
class Measured:
    """What projections tell of updates."""

    in_range: tuple[bool, ...]
    size: tuple[bool, ...]
    direction: tuple[bool, ...]
    estimates: tuple[int, ...]
    """Of the squared norms, 32 fractional bits; 0 for an update that is out."""


@dataclass(frozen=True)
class ProjectedVerification:
    """Everything that the checks compute; only `accepted` and `budget` are ever revealed by an engine."""

    accepted: tuple[bool, ...]
    budget: int
    measured: Measured
    peers: tuple[bool, ...]
    counts: Words
    """As `reference.Verification.counts`."""

    @property
    def failed(self) -> tuple[Condition | None, ...]:
        """The first condition that each update failed, None where accepted."""
        return reference.first_failed(self.accepted, self.measured.size, self.measured.direction)


def verify(task: ProjectedTask, payloads: Mapping[HospitalName, Words]) -> tuple[tuple[bool, ...], int]:
    """Accept bit per hospital and next round's budget, from each hospital's payload (update, inputs, labels)."""
    updates = reference.updates_of(task, payloads)
    rows = project(list(updates), task.network.size, task.seed)
    verification = explain(task, dict(zip(task.hospitals, rows, strict=True)), payloads)
    return verification.accepted, verification.budget


def explain(
    task: ProjectedTask,
    projections: Mapping[HospitalName, Words],
    payloads: Mapping[HospitalName, Words],
    counting: Counting | None = None,
) -> ProjectedVerification:
    """The verification with its secret parts, from each update's (PROJECTIONS,) projections and its payload."""
    measured = measure(np.stack([projections[hospital] for hospital in task.hospitals]), task.rule.budget)
    updates = reference.updates_of(task, payloads) * np.array(measured.size)[:, None]
    counts = reference.tried(task, updates, payloads, counting)[1]
    peers = reference.peers(task, counts)
    accepted = tuple(a and b and c for a, b, c in zip(measured.size, measured.direction, peers, strict=True))
    kept = sorted(estimate for estimate, ok in zip(measured.estimates, accepted, strict=True) if ok)
    following = rule.next_budget(kept[rule.lower_median(len(kept))]) if kept else rule.projected_limit(task.rule.budget)
    return ProjectedVerification(accepted, rule.floored(following), measured, tuple(peers), counts)


def aggregate(task: AggregateTask, updates: Mapping[HospitalName, Words]) -> tuple[Words, int]:
    """The sum of all updates, of which nothing is trimmed, and their number; each update (size,)."""
    total: Words = np.stack([updates[hospital][: task.size] for hospital in task.hospitals]).sum(axis=0, dtype=np.int64)
    return total, len(task.hospitals)


def measure(rows: Words, budget: int | None) -> Measured:
    """Range, size and direction of updates by their projections, (updates, PROJECTIONS)."""
    # not abs(): the absolute value of -2^63 wraps to itself
    in_range = np.all((rows < rule.PROJECTION_CAP) & (rows > -rule.PROJECTION_CAP), axis=1)
    rows = rows * in_range[:, None]
    squares = [int(row @ row) for row in rows]
    estimates = [square >> rule.PROJECTION_BITS for square in squares]
    size = [bool(ok) and _size(estimate, estimates, budget) for ok, estimate in zip(in_range, estimates, strict=True)]
    rows = rows * np.array(size)[:, None]
    squares = [square * ok for square, ok in zip(squares, size, strict=True)]
    estimates = [estimate * ok for estimate, ok in zip(estimates, size, strict=True)]

    median = np.sort(rows, axis=0)[rule.lower_median(len(rows))]
    margin = rule.projected_margin(budget)
    direction = [_direction(row, median, square, margin) for row, square in zip(rows, squares, strict=True)]
    return Measured(tuple(in_range.tolist()), tuple(size), tuple(direction), tuple(estimates))


def _size(estimate: int, estimates: list[int], budget: int | None) -> bool:
    median = sorted(estimates)[rule.lower_median(len(estimates))]
    limit = rule.projected_limit(budget)
    if budget is None:
        within = estimate <= rule.LARGEST_OVER_MEDIAN * median
        reference = median
    else:
        within = rule.PROJECTED_LEFT * estimate <= rule.PROJECTED_RIGHT * limit
        reference = min(median, limit)
    capped = rule.PROJECTED_LEFT * estimate <= rule.PROJECTED_RIGHT * NORM_CAP
    return within and rule.VANISHING * estimate >= reference and capped


def _direction(row: Words, median: Words, square: int, margin: int) -> bool:
    # within the caps no sum wraps, as in `pipeline.mpc.reference`
    product = int(row @ median) >> rule.PROJECTED_DIRECTION_BITS
    median_square = int(median @ median)
    allowed = rule.LEAST_PROJECTED_MARGIN if square < median_square else margin
    against = rule.DIRECTION_LEFT * product**2
    limit = (
        rule.DIRECTION_RIGHT
        * (square >> rule.PROJECTED_DIRECTION_BITS)
        * (median_square >> rule.PROJECTED_DIRECTION_BITS)
    )
    return not (product + allowed < 0 and against > limit)
