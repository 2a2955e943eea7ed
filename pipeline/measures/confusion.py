"""Confusion matrices: how a hospital counts one, tells it, and how what it told is read and added up."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

LEAST_OF_CLASS = 5
"""Fewest test records of a class with which a hospital tells its matrix: less would speak of single patients."""

MOST_RECORDS = 10**9
"""Of which a hospital may tell."""
_MOST_CLASSES = 100
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,60}")
"""As a study's classes may be called."""


@dataclass(frozen=True)
class Confusion:
    """Test records counted by their class (rows) and by the model's answer (columns)."""

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    @classmethod
    def count(cls, labels: npt.NDArray[Any], answers: npt.NDArray[Any], classes: Sequence[str]) -> Confusion:
        """Of labels and answers (n,), both numbers of classes."""
        size = len(classes)
        pairs = labels.astype(np.int64) * size + answers.astype(np.int64)
        table = np.bincount(pairs, minlength=size * size).reshape(size, size)
        return cls(tuple(classes), tuple(tuple(int(number) for number in row) for row in table))

    @property
    def correct(self) -> int:
        """Right answers."""
        return sum(self.counts[index][index] for index in range(len(self.classes)))

    @property
    def tested(self) -> int:
        """Test records."""
        return sum(map(sum, self.counts))

    @property
    def may_be_told(self) -> bool:
        """Whether no class has so few test records that its row would speak of single patients."""
        return all(not 0 < sum(row) < LEAST_OF_CLASS for row in self.counts)

    def reduced(self, most: int) -> Confusion:
        """The same scaled to at most `most` test records, each count rounded down."""
        of = max(most, self.tested)
        return Confusion(self.classes, tuple(tuple(count * most // of for count in row) for row in self.counts))

    def to_json(self) -> dict[str, Any]:
        """As a confirmation carries it."""
        return {"classes": list(self.classes), "counts": [list(row) for row in self.counts]}


def told(value: object, correct: int, tested: int) -> Confusion | None:
    """The matrix that a confirmation carries beside `correct` and `tested`; None where it is none, or does not fit.

    A hospital signs what it likes.
    """
    if not isinstance(value, dict) or value.keys() != {"classes", "counts"}:
        return None
    classes = value["classes"]
    counts = value["counts"]
    if not (_are_names(classes) and _is_square(counts, len(classes))):
        return None
    matrix = Confusion(tuple(classes), tuple(map(tuple, counts)))
    return matrix if (matrix.correct, matrix.tested) == (correct, tested) else None


def pooled(matrices: Iterable[Confusion | None]) -> Confusion | None:
    """The sum of those that name the same classes, those that most of them name; None of none."""
    given = [matrix for matrix in matrices if matrix is not None]
    if not given:
        return None
    ((classes, _),) = Counter(matrix.classes for matrix in given).most_common(1)
    same = [matrix.counts for matrix in given if matrix.classes == classes]
    rows = zip(*same, strict=True)
    return Confusion(classes, tuple(tuple(map(sum, zip(*parts, strict=True))) for parts in rows))


def _are_names(value: object) -> bool:
    return (
        isinstance(value, list)
        and 2 <= len(value) <= _MOST_CLASSES
        and all(isinstance(name, str) and _NAME.fullmatch(name) for name in value)
        and len(set(value)) == len(value)
    )


def _is_square(value: object, size: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) == size
        and all(isinstance(row, list) and len(row) == size for row in value)
        and all(type(number) is int and 0 <= number <= MOST_RECORDS for row in value for number in row)
    )
