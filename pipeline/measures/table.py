"""The measures that a study may name, each worked out from what hospitals told of one model.

A further one is a line of `MEASURES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from pipeline.measures import confusion, scores
from pipeline.measures.confusion import Confusion
from pipeline.measures.estimates import ClassMeasures, Measures, measures
from pipeline.measures.intervals import Estimate, share
from pipeline.measures.scores import Scores

LEVELS = ("accuracy", "confusion", "scores")
"""What hospitals may tell by a study's `measures`; each level tells what those before it tell."""


@dataclass(frozen=True)
class Told:
    """What one hospital, or all of them together, told of a model on their own test records."""

    correct: int
    tested: int
    confusion: Confusion | None = None
    """None where no hospital told one."""
    scores: Scores | None = None
    """Of the same classes; None where no hospital told any."""

    @property
    def measures(self) -> Measures | None:
        """All that the matrix and the scores tell; None without a matrix."""
        return None if self.confusion is None else measures(self.confusion, self.scores)

    def reduced(self, most: int) -> Told:
        """The same scaled to at most `most` test records, each count rounded down."""
        tested = min(most, self.tested)
        return Told(
            self.correct * tested // max(1, self.tested),
            tested,
            self.confusion and self.confusion.reduced(most),
            self.scores and self.scores.reduced(most),
        )


def together(hospitals: Iterable[Told]) -> Told:
    """What all of them told, added up."""
    given = tuple(hospitals)
    matrix = confusion.pooled(one.confusion for one in given)
    return Told(
        sum(one.correct for one in given),
        sum(one.tested for one in given),
        matrix,
        None if matrix is None else scores.pooled((one.scores for one in given), matrix.classes),
    )


@dataclass(frozen=True)
class Measure:
    """One measure of a model."""

    title: str
    estimate: Callable[[Told, str | None], Estimate | None]
    """Of what was told, and of the class for a measure that is one class's; None where nothing tells."""
    needs: str = "confusion"
    """The least of the levels that tells it."""
    of_class: bool = False
    """Whether it is about one class against all others."""


def _accuracy(told: Told, _: str | None) -> Estimate | None:
    return share(told.correct, told.tested)


def _balanced_accuracy(told: Told, _: str | None) -> Estimate | None:
    return told.measures.balanced_accuracy if told.measures else None


def _auc(told: Told, _: str | None) -> Estimate | None:
    return told.measures.auc if told.measures else None


def _sensitivity(told: Told, of: str | None) -> Estimate | None:
    row = _row(told, of)
    return None if row is None else row.sensitivity


def _specificity(told: Told, of: str | None) -> Estimate | None:
    row = _row(told, of)
    return None if row is None else row.specificity


def _row(told: Told, of: str | None) -> ClassMeasures | None:
    rows = told.measures.classes if told.measures else ()
    return next((row for row in rows if row.name == of), None)


MEASURES: Mapping[str, Measure] = {
    "accuracy": Measure("accuracy", _accuracy, needs="accuracy"),
    "balanced_accuracy": Measure("balanced accuracy", _balanced_accuracy),
    "auc": Measure("AUC", _auc, needs="scores"),
    "sensitivity": Measure("sensitivity", _sensitivity, of_class=True),
    "specificity": Measure("specificity", _specificity, of_class=True),
}
