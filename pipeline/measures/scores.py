"""Histograms of scores: how a hospital counts them, tells them, and how what it told is read and added up.

A score is the share that a model gives a class (softmax). Bins are of equal width from 0 to 1, each with its upper end,
as scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.measures.confusion import Confusion

BINS = 10
"""An even number, so that with two classes one half of them is what a model answers with a class."""

LEAST_SCORED = BINS
"""Fewest test records of a class with which a hospital tells its scores: a record a bin."""

_EDGES = np.linspace(0, 1, BINS + 1)
_HALF = BINS // 2


@dataclass(frozen=True)
class Histogram:
    """Test records by a model's score of one class, lowest bin first: those of the class, and all others."""

    own: tuple[int, ...]
    others: tuple[int, ...]

    @property
    def mirrored(self) -> Histogram:
        """By the score of the other one of two classes."""
        return Histogram(self.others[::-1], self.own[::-1])


@dataclass(frozen=True)
class Scores:
    """Histograms of the classes that are told: of two only the second, which mirrors the first."""

    classes: tuple[str, ...]
    told: tuple[Histogram, ...]

    @classmethod
    def count(cls, labels: npt.NDArray[Any], shares: npt.NDArray[np.float64], classes: Sequence[str]) -> Scores:
        """Of labels (n,), numbers of classes, and the shares (n, classes) that a model gives."""
        answers = shares.argmax(axis=1)
        histograms = []
        for index in told_classes(len(classes)):
            # Of equal shares a model answers with one: a score on an edge counts on the side of its answer.
            answered = answers == index
            lowest = np.where(answered, BINS // len(classes), 0)
            highest = np.where(answered, BINS - 1, _HALF - 1)
            bins = np.clip(np.searchsorted(_EDGES[1:-1], shares[:, index]), lowest, highest)
            own = labels == index
            histograms.append(Histogram(_counted(bins[own]), _counted(bins[~own])))
        return cls(tuple(classes), tuple(histograms))

    def of_class(self, index: int) -> Histogram:
        """The class's histogram, told or mirrored."""
        if len(self.classes) == 2:
            return self.told[0] if index else self.told[0].mirrored
        return self.told[index]

    @property
    def records(self) -> int:
        """Test records."""
        one = self.told[0]
        return sum(one.own) + sum(one.others)

    @property
    def may_be_told(self) -> bool:
        """Whether no class has so few test records that its bins would list single patients."""
        records = [sum(self.of_class(index).own) for index in range(len(self.classes))]
        return all(not 0 < number < LEAST_SCORED for number in records)

    def reduced(self, most: int) -> Scores:
        """The same scaled to at most `most` test records, each count rounded down."""
        of = max(most, self.records)
        return Scores(
            self.classes,
            tuple(
                Histogram(*(tuple(count * most // of for count in part) for part in (one.own, one.others)))
                for one in self.told
            ),
        )

    def to_json(self) -> list[dict[str, Any]]:
        """As a confirmation carries it."""
        return [{"own": list(one.own), "others": list(one.others)} for one in self.told]


def told(value: object, matrix: Confusion) -> Scores | None:
    """The histograms that a confirmation carries beside its matrix; None where they are none, or do not fit.

    A hospital signs what it likes.
    """
    indices = told_classes(len(matrix.classes))
    if not isinstance(value, list) or len(value) != len(indices):
        return None
    histograms = []
    for index, one in zip(indices, value, strict=True):
        if not (isinstance(one, dict) and one.keys() == {"own", "others"} and all(map(_are_counts, one.values()))):
            return None
        histogram = Histogram(tuple(one["own"]), tuple(one["others"]))
        if not _fits(histogram, matrix, index):
            return None
        histograms.append(histogram)
    return Scores(matrix.classes, tuple(histograms))


def pooled(scores: Iterable[Scores | None], classes: Sequence[str]) -> Scores | None:
    """The sum of those that name these classes; None of none."""
    same = [one.told for one in scores if one is not None and one.classes == tuple(classes)]
    if not same:
        return None
    return Scores(tuple(classes), tuple(_sum(histograms) for histograms in zip(*same, strict=True)))


def told_classes(classes: int) -> range:
    """Of so many classes those whose histograms are told."""
    return range(1 if classes == 2 else 0, classes)


def _counted(bins: npt.NDArray[np.int64]) -> tuple[int, ...]:
    return tuple(np.bincount(bins, minlength=BINS).tolist())


def _sum(histograms: Sequence[Histogram]) -> Histogram:
    parts = ([one.own for one in histograms], [one.others for one in histograms])
    return Histogram(*(tuple(map(sum, zip(*part, strict=True))) for part in parts))


def _are_counts(value: object) -> bool:
    return (
        isinstance(value, list) and len(value) == BINS and all(type(number) is int and number >= 0 for number in value)
    )


def _fits(histogram: Histogram, matrix: Confusion, index: int) -> bool:
    """Whether the matrix has these records, and answers that such scores can give.

    Above a half a model always answers with a class, and below its part of equal shares never.
    """
    row = matrix.counts[index]
    column = [of_class[index] for of_class in matrix.counts]
    rows = (
        (histogram.own, sum(row), row[index]),
        (histogram.others, matrix.tested - sum(row), sum(column) - row[index]),
    )
    return all(
        sum(counts) == records and sum(counts[_HALF:]) <= answered <= sum(counts[BINS // len(matrix.classes) :])
        for counts, records, answered in rows
    )
