"""How well scores tell a class from the others: the ROC curve and the area below it (AUC).

Exact for the bins: of two records in one bin each comes first in half of the cases. The interval is Newcombe's fifth
method (Statistics in Medicine 25, 2006), which inverts the standard error of Hanley and McNeil (Radiology 143, 1982).
DeLong's, and statsmodels' `rank_compare_2ordinal`, miss the level by far where a model is good and records are few.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline.measures.intervals import Estimate, quantile
from pipeline.measures.scores import Histogram

Point = tuple[float, float]

_NEAR = 1e-9
"""How near to its own ends a root is looked for."""


@dataclass(frozen=True)
class Discrimination:
    """How well a model's scores tell a class from all others."""

    auc: Estimate
    """The probability that a record of the class has a higher score than another."""
    rounding: float
    """How far at most the AUC lies from that of the same scores without bins."""
    roc: tuple[Point, ...]
    """One minus specificity, and sensitivity: from (0, 0) to (1, 1) by each bin's lower end as threshold."""


def discrimination(histogram: Histogram) -> Discrimination | None:
    """Of a class's histogram; None where one side has no record."""
    own, others = sum(histogram.own), sum(histogram.others)
    if not (own and others):
        return None
    points = [(0.0, 0.0)]
    hits = alarms = 0
    doubled = ties = 0
    for of_class, of_others in zip(histogram.own[::-1], histogram.others[::-1], strict=True):
        # A record of the others comes below all of the class that were counted before it.
        doubled += of_others * (2 * hits + of_class)
        ties += of_others * of_class
        hits += of_class
        alarms += of_others
        points.append((alarms / others, hits / own))
    pairs = own * others
    area = doubled / (2 * pairs)
    return Discrimination(Estimate(area, *_limits(area, own, others)), ties / (2 * pairs), tuple(points))


def _limits(value: float, own: int, others: int) -> tuple[float, float]:
    from scipy.optimize import brentq

    z = quantile()
    pairs = own * others
    beside = (own + others) / 2 - 1

    def reach(area: float) -> float:
        spread = 1 + beside * ((1 - area) / (2 - area) + area / (1 + area))
        return z * math.sqrt(area * (1 - area) * spread / pairs)

    # An area of 0 or 1 has no standard error, and is a root of its own.
    low = brentq(lambda area: value - area - reach(area), 0, min(value, 1 - _NEAR)) if value else 0.0
    high = brentq(lambda area: area - value - reach(area), max(value, _NEAR), 1) if value < 1 else 1.0
    return float(low), float(high)
