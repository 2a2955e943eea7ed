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
    # The standard error is that of both sides alike, so the upper limit is the lower one of the reverse.
    auc = Estimate(area, _low(area, own, others), 1 - _low(1 - area, own, others))
    return Discrimination(auc, ties / (2 * pairs), tuple(points))


def _low(value: float, own: int, others: int) -> float:
    """The lower limit: the least area from which `value` lies no more than the quantile's standard errors away."""
    from scipy.optimize import brentq

    if not value:
        return 0.0
    square = quantile() ** 2 / (own * others)
    beside = (own + others) / 2 - 1

    def spread(area: float) -> float:
        """Squared reach of an area, without its factor 1 - area."""
        return square * area * (1 + beside * ((1 - area) / (2 - area) + area / (1 + area)))

    if value == 1:
        # Of which no distance is left there either: both sides are divided by its root.
        return float(brentq(lambda area: 1 - area - spread(area), 0, 1))
    return float(brentq(lambda area: value - area - math.sqrt((1 - area) * spread(area)), 0, value))
