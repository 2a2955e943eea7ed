"""Shares with their 95 % intervals, from a confusion matrix.

A single share has Wilson's interval (scipy.stats), a mean of shares Wilson's limits joined by the square-and-add method
(Zou and Donner, Statistics in Medicine 27, 2008).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.measures.confusion import Confusion

_LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A share from 0 to 1 and the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """Rounded to four digits."""
        return {name: round(number, 4) for name, number in vars(self).items()}

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f})"


@dataclass(frozen=True)
class ClassMeasures:
    """How a model does on one class against all others; None where no record tells."""

    name: str
    sensitivity: Estimate | None
    """Of its records, the share that the model answers with it."""
    specificity: Estimate | None
    """Of the other records, the share that the model does not answer with it."""


@dataclass(frozen=True)
class Measures:
    """What a confusion matrix tells of a model."""

    tested: int
    accuracy: Estimate | None
    balanced_accuracy: Estimate | None
    """Mean of the classes' sensitivities; None while a class has no record."""
    classes: tuple[ClassMeasures, ...]

    def to_json(self) -> dict[str, Any]:
        """For `--json`, metrics and the model card."""
        return {
            "tested": self.tested,
            "accuracy": _json(self.accuracy),
            "balanced_accuracy": _json(self.balanced_accuracy),
            "classes": {
                row.name: {"sensitivity": _json(row.sensitivity), "specificity": _json(row.specificity)}
                for row in self.classes
            },
        }


def measures(matrix: Confusion) -> Measures:
    """All measures of a matrix."""
    rows = [_of_class(matrix, index) for index in range(len(matrix.classes))]
    return Measures(
        tested=matrix.tested,
        accuracy=share(matrix.correct, matrix.tested),
        balanced_accuracy=mean([row.sensitivity for row in rows]),
        classes=tuple(rows),
    )


def share(count: int, total: int) -> Estimate | None:
    """`count` of `total` with Wilson's interval; None of nothing."""
    if not total:
        return None
    # here, since scipy.stats loads for a second and most commands measure nothing
    from scipy.stats import binomtest

    interval = binomtest(count, total).proportion_ci(_LEVEL, method="wilson")
    return Estimate(count / total, float(interval.low), float(interval.high))


def mean(estimates: Sequence[Estimate | None]) -> Estimate | None:
    """The mean of independent shares, by the square-and-add method; None where one is missing, or of nothing."""
    given = [estimate for estimate in estimates if estimate is not None]
    if not given or len(given) < len(estimates):
        return None
    value = math.fsum(estimate.value for estimate in given) / len(given)
    below = math.hypot(*(estimate.value - estimate.low for estimate in given)) / len(given)
    above = math.hypot(*(estimate.high - estimate.value for estimate in given)) / len(given)
    return Estimate(value, max(0.0, value - below), min(1.0, value + above))


def _of_class(matrix: Confusion, index: int) -> ClassMeasures:
    positives = sum(matrix.counts[index])
    hits = matrix.counts[index][index]
    answered = sum(row[index] for row in matrix.counts)
    negatives = matrix.tested - positives
    return ClassMeasures(
        name=matrix.classes[index],
        sensitivity=share(hits, positives),
        specificity=share(negatives - (answered - hits), negatives),
    )


def _json(estimate: Estimate | None) -> dict[str, float] | None:
    return None if estimate is None else estimate.to_json()
