"""What counts tell of a model, with 95 % intervals: of a confusion matrix, and of histograms of scores if there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.measures.calibration import Calibration, calibration
from pipeline.measures.confusion import Confusion
from pipeline.measures.discrimination import Discrimination, discrimination
from pipeline.measures.intervals import Estimate, mean, mean_of_dependent, share
from pipeline.measures.scores import Scores

_MOST_DRAWN = 6


@dataclass(frozen=True)
class ClassMeasures:
    """How a model does on one class against all others; None where no record tells."""

    name: str
    sensitivity: Estimate | None
    """Of its records, the share that the model answers with it."""
    specificity: Estimate | None
    """Of the other records, the share that the model does not answer with it."""
    discrimination: Discrimination | None
    calibration: Calibration | None

    def to_json(self) -> dict[str, Any]:
        """For `--json`, metrics and the model card."""
        numbers: dict[str, Any] = {"sensitivity": _json(self.sensitivity), "specificity": _json(self.specificity)}
        if self.discrimination:
            numbers["auc"] = _json(self.discrimination.auc)
            numbers["auc_rounding"] = round(self.discrimination.rounding, 4)
        if self.calibration:
            numbers["calibration_error"] = _json(self.calibration.error)
            numbers["brier"] = _json(self.calibration.brier)
        return numbers


@dataclass(frozen=True)
class Measures:
    """What counts tell of a model."""

    tested: int
    accuracy: Estimate | None
    balanced_accuracy: Estimate | None
    """Mean of the classes' sensitivities; None while a class has no record."""
    scored: int
    """Records whose scores are told."""
    auc: Estimate | None
    """The mean of the classes', which are alike where there are two; None without scores, or records of every class."""
    classes: tuple[ClassMeasures, ...]

    @property
    def drawn(self) -> tuple[tuple[str, Discrimination, Calibration], ...]:
        """What has curves: of two classes the second, which the first mirrors, else each; at most so many as fit."""
        told = [
            (row.name, row.discrimination, row.calibration)
            for row in self.classes
            if row.discrimination and row.calibration
        ]
        return tuple(told[1:] if len(self.classes) == 2 else told[:_MOST_DRAWN])

    def to_json(self) -> dict[str, Any]:
        """For `--json`, metrics and the model card."""
        return {
            "tested": self.tested,
            "accuracy": _json(self.accuracy),
            "balanced_accuracy": _json(self.balanced_accuracy),
            "scored": self.scored,
            "auc": _json(self.auc),
            "classes": {row.name: row.to_json() for row in self.classes},
        }


def measures(matrix: Confusion, scores: Scores | None = None) -> Measures:
    """All measures of a matrix, and of the scores of its classes where there are any."""
    rows = [_of_class(matrix, scores, index) for index in range(len(matrix.classes))]
    return Measures(
        tested=matrix.tested,
        accuracy=share(matrix.correct, matrix.tested),
        balanced_accuracy=mean([row.sensitivity for row in rows]),
        scored=scores.records if scores else 0,
        auc=mean_of_dependent([row.discrimination.auc if row.discrimination else None for row in rows]),
        classes=tuple(rows),
    )


def _of_class(matrix: Confusion, scores: Scores | None, index: int) -> ClassMeasures:
    positives = sum(matrix.counts[index])
    hits = matrix.counts[index][index]
    answered = sum(row[index] for row in matrix.counts)
    negatives = matrix.tested - positives
    histogram = scores.of_class(index) if scores else None
    return ClassMeasures(
        name=matrix.classes[index],
        sensitivity=share(hits, positives),
        specificity=share(negatives - (answered - hits), negatives),
        discrimination=discrimination(histogram) if histogram else None,
        calibration=calibration(histogram) if histogram else None,
    )


def _json(estimate: Estimate | None) -> dict[str, float] | None:
    return None if estimate is None else estimate.to_json()
