"""Numbers from 0 to 1 with their 95 % intervals.

A single share has Wilson's interval (scipy.stats), a mean of independent shares Wilson's limits joined by the
square-and-add method (Zou and Donner, Statistics in Medicine 27, 2008).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEVEL = 0.95
"""Of all intervals."""


@dataclass(frozen=True)
class Estimate:
    """A number from 0 to 1 and the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """Rounded to four digits."""
        return {name: round(number, 4) for name, number in vars(self).items()}

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f})"

    @property
    def decimal(self) -> str:
        """As what is no share is written, such as an AUC."""
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def share(count: int, total: int) -> Estimate | None:
    """`count` of `total` with Wilson's interval; None of nothing."""
    if not total:
        return None
    # here, since scipy.stats loads for a second and most commands measure nothing
    from scipy.stats import binomtest

    interval = binomtest(count, total).proportion_ci(LEVEL, method="wilson")
    return Estimate(count / total, float(interval.low), float(interval.high))


def bounded_mean(value: float, total: int) -> Estimate:
    """The mean of `total` numbers from 0 to 1 with Wilson's limits.

    No such numbers vary more than zeros and ones of the same mean, so that the level is held, with some to spare.
    """
    z = quantile()
    centre = (value + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(value * (1 - value) / total + (z / (2 * total)) ** 2) / (1 + z * z / total)
    return Estimate(value, max(0.0, min(value, centre - half)), min(1.0, max(value, centre + half)))


def mean(estimates: Sequence[Estimate | None]) -> Estimate | None:
    """The mean of independent shares, by the square-and-add method; None where one is missing, or of nothing."""
    given = [estimate for estimate in estimates if estimate is not None]
    if not given or len(given) < len(estimates):
        return None
    value = math.fsum(estimate.value for estimate in given) / len(given)
    below = math.hypot(*(estimate.value - estimate.low for estimate in given)) / len(given)
    above = math.hypot(*(estimate.high - estimate.value for estimate in given)) / len(given)
    return Estimate(value, max(0.0, value - below), min(1.0, value + above))


def mean_of_dependent(estimates: Sequence[Estimate | None]) -> Estimate | None:
    """The mean of numbers of the same records: the means of their limits, however they hang together.

    None where one is missing, or of nothing.
    """
    given = [estimate for estimate in estimates if estimate is not None]
    if not given or len(given) < len(estimates):
        return None
    return Estimate(
        *(math.fsum(getattr(estimate, name) for estimate in given) / len(given) for name in ("value", "low", "high"))
    )


def quantile() -> float:
    """Of the normal distribution, for two ends."""
    from scipy.special import ndtri

    return float(ndtri((1 + LEVEL) / 2))
