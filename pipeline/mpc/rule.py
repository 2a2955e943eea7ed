"""The public integer parts of the rule against poisoning: caps, trim counts, thresholds and the new model."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from pipeline.domain import COORDINATE_CAP, MODEL_CAP, NORM_CAP
from pipeline.layers.arithmetic import CHECKED, PROJECTED, WeightBounds

MODEL_NORM_CAP = 1 << 44
"""Largest squared norm of a global model (32 fractional bits: 4096)."""

_LARGEST_NORM = math.isqrt(NORM_CAP)

if WeightBounds(MODEL_CAP + COORDINATE_CAP, math.isqrt(MODEL_NORM_CAP) + _LARGEST_NORM) != CHECKED:
    raise AssertionError("the layers' bit budget assumes other caps")

# projections accept no update of more than twice the norm that is allowed, but for odds of 2^-52
if WeightBounds(MODEL_CAP + 2 * _LARGEST_NORM, math.isqrt(MODEL_NORM_CAP) + 2 * _LARGEST_NORM) != PROJECTED:
    raise AssertionError("the layers' bit budget of large models assumes other caps")

LEAST_BUDGET = 1 << 16
"""A round of empty updates has a median squared norm of 0; a budget of 0 would hold for ever (32 fractional bits: norm
1/256)."""

LARGEST_OVER_MEDIAN = 9
"""First round: a squared norm may be so many times the median one."""

VANISHING = 400
"""A squared norm may be so many times smaller than the median one: a free rider's is smaller."""

DIRECTION_BITS = 12
"""Bits dropped from inner products before they are multiplied with one another."""

DIRECTION_LEFT, DIRECTION_RIGHT = 25, 4
"""25 p^2 > 4 s q with p + margin < 0: a cosine to the median update below -0.4, beyond the update's margin."""

BUDGETS_OVER_MARGIN = 4
"""The margin is a fourth of the budget.

Honest updates without a common direction lie within it. They are longer than their median too, which averages what is
noise: an update that is shorter has the margin of a budget of STILL.
"""

STILL = 1 << 20
"""No margin is that of a smaller budget (32 fractional bits: norm 1/64).

A study whose updates are so short stands still, and a floor leaves little of their products.
"""

PROJECTIONS = 512
"""Random projections by which the large-model mode checks an update."""

PROJECTION_CAP = 1 << 23
"""Every projection of an update lies strictly within it; an update within NORM_CAP exceeds it with probability below
2^-80."""

PROJECTION_BITS = 8
"""Bits dropped from the sum of an update's squared projections: on average half of their number times its squared norm.
"""

PROJECTED_LEFT, PROJECTED_RIGHT = 5, 8
"""5 estimate <= 8 budget: an update within its budget exceeds it with probability below 2^-48."""

PROJECTED_DIRECTION_BITS = 21
"""Bits dropped from inner products of projections before they are multiplied with one another."""

FEWEST_ACCEPTED = 3
"""Fewer accepted updates are never opened: the result would be single hospitals' coordinates."""


def direction_margin(budget: int | None) -> int:
    """How far below 0 an inner product with the median update may lie, DIRECTION_BITS dropped; 0 in a first round."""
    return _margin(budget) >> DIRECTION_BITS


def projected_margin(budget: int | None) -> int:
    """The same of the inner product of projections, PROJECTED_DIRECTION_BITS dropped.

    On average half of their number times that of the updates.
    """
    return (_margin(budget) * (PROJECTIONS // 2)) >> PROJECTED_DIRECTION_BITS


def _margin(budget: int | None) -> int:
    return 0 if budget is None else min(max(budget, STILL), NORM_CAP) // BUDGETS_OVER_MARGIN


LEAST_MARGIN = direction_margin(STILL)
"""The margin of an update that is shorter than the median update, DIRECTION_BITS dropped."""

LEAST_PROJECTED_MARGIN = projected_margin(STILL)
"""The same of the inner product of projections, PROJECTED_DIRECTION_BITS dropped."""


def lower_median(count: int) -> int:
    """Index of the lower median in a sorted list of `count`."""
    return (count - 1) // 2


def _two_fifths(count: int) -> int:
    return -(-2 * count // 5)


def owners_trimmed(owners: int) -> int:
    """Owners dropped at each end of a model's sorted correct counts, of those on whose samples it is tried."""
    return min(_two_fifths(owners), (owners - 1) // 2)


def updates_trimmed(accepted: int) -> int:
    """Updates dropped at each end of every sorted coordinate; raises ValueError below 3 accepted."""
    if accepted < FEWEST_ACCEPTED:
        raise ValueError(
            f"got {accepted} accepted updates, want at least {FEWEST_ACCEPTED}: the middle of fewer opens single ones"
        )
    return min(_two_fifths(accepted), (accepted - FEWEST_ACCEPTED) // 2)


def updates_averaged(accepted: int) -> int:
    """Updates behind the opened sum of a coordinate.

    An odd number, since of an even middle the end that lies farther out goes too.
    """
    middle = accepted - 2 * updates_trimmed(accepted)
    return middle - 1 if middle % 2 == 0 else middle


def answers_counted(owners: int, samples: int) -> int:
    """Samples behind the sum of a model's middle counts; of one class where `samples` is an owner's of that class."""
    return (owners - 2 * owners_trimmed(owners)) * samples


def samples_of_class(samples: int, classes: int) -> int:
    """An owner's validation samples of one class: its draw takes equally many of each."""
    return samples // classes


def counts_of_invalid_owner(samples: int, classes: int) -> int:
    """The correct count of each class that stands for every model where samples are out of range: about a half."""
    return samples // (2 * classes)


def floored(budget: int) -> int:
    """The budget to publish: never so small that a study could not move again."""
    return max(budget, LEAST_BUDGET)


def next_budget(median_squared_norm: int) -> int:
    """Next round's largest squared norm, after the lower median one of the accepted updates."""
    return 9 * median_squared_norm // 4


def projected_limit(budget: int | None) -> int:
    """The budget that holds for a large model's updates: never above NORM_CAP; 0 in a study's first round."""
    return min(budget or 0, NORM_CAP)


def new_model(previous: npt.NDArray[np.int64], total: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """Global model after adding the rounded mean total / count to the previous one, within the model's caps."""
    return capped(previous + (2 * total + count) // (2 * count))


def capped(model: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The model within its caps.

    Each coordinate clipped, then all shrunk alike, towards zero, where the norm is too large.
    """
    clipped: npt.NDArray[np.int64] = np.clip(model, -MODEL_CAP, MODEL_CAP)
    norm = _squared_norm(clipped)
    if norm <= MODEL_NORM_CAP:
        return clipped
    shrunk: npt.NDArray[np.int64] = np.sign(clipped) * (
        np.abs(clipped) * math.isqrt(MODEL_NORM_CAP) // (math.isqrt(norm) + 1)
    )
    return shrunk


def is_within_caps(model: npt.NDArray[np.int64]) -> bool:
    """Whether a model keeps the caps that the layers' bit budget assumes."""
    return bool(np.all((model <= MODEL_CAP) & (model >= -MODEL_CAP))) and _squared_norm(model) <= MODEL_NORM_CAP


def _squared_norm(model: npt.NDArray[np.int64]) -> int:
    # within the coordinates' cap each square is at most 2^36: exact up to 2^26 parameters
    return int(model @ model)
