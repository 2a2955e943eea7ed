"""The measures that a study may name, each worked out from what hospitals told of one model.

A further one is a line of `MEASURES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from pipeline.measures.confusion import Confusion, pooled
from pipeline.measures.estimates import ClassMeasures, Estimate, measures, share


@dataclass(frozen=True)
class Told:
    """What one hospital, or all of them together, told of a model on their own test records."""

    correct: int
    tested: int
    confusion: Confusion | None
    """None where no hospital told one."""


def together(hospitals: Iterable[Told]) -> Told:
    """What all of them told, added up."""
    given = tuple(hospitals)
    return Told(
        sum(one.correct for one in given),
        sum(one.tested for one in given),
        pooled(one.confusion for one in given),
    )


@dataclass(frozen=True)
class Measure:
    """One measure of a model."""

    title: str
    estimate: Callable[[Told, str | None], Estimate | None]
    """Of what was told, and of the class for a measure that is one class's; None where nothing tells."""
    needs_matrix: bool = True
    """Whether right answers alone do not tell it."""
    of_class: bool = False
    """Whether it is about one class against all others."""


def _accuracy(told: Told, _: str | None) -> Estimate | None:
    return share(told.correct, told.tested)


def _balanced_accuracy(told: Told, _: str | None) -> Estimate | None:
    return None if told.confusion is None else measures(told.confusion).balanced_accuracy


def _sensitivity(told: Told, of: str | None) -> Estimate | None:
    row = _row(told, of)
    return None if row is None else row.sensitivity


def _specificity(told: Told, of: str | None) -> Estimate | None:
    row = _row(told, of)
    return None if row is None else row.specificity


def _row(told: Told, of: str | None) -> ClassMeasures | None:
    rows = () if told.confusion is None else measures(told.confusion).classes
    return next((row for row in rows if row.name == of), None)


MEASURES: Mapping[str, Measure] = {
    "accuracy": Measure("accuracy", _accuracy, needs_matrix=False),
    "balanced_accuracy": Measure("balanced accuracy", _balanced_accuracy),
    "sensitivity": Measure("sensitivity", _sensitivity, of_class=True),
    "specificity": Measure("specificity", _specificity, of_class=True),
}
