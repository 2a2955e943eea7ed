"""Inputs whose mean and deviation a study's first round measures: how a hospital says them, and how they are read.

A hospital says its mean and its deviation of an input as two fixed-point numbers, which fill the cap on an update's
coordinates: from one end of the range that the data contract allows to the other, and from no deviation to the
largest that the range leaves. Whatever keeps the cap is thus a statistic that a hospital could have.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.domain import COORDINATE_CAP

_MOST = COORDINATE_CAP - 1
_GUESS = 4
"""A fourth of the range stands for a deviation that nobody can say."""

Counted = tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]
"""Values, and how often each of them comes."""


@dataclass(frozen=True)
class MeasuredInput:
    """A column, or a channel of pictures, and the range of it that the data contract allows."""

    name: str
    lowest: float
    highest: float

    @property
    def _middle(self) -> float:
        return (self.lowest + self.highest) / 2

    @property
    def _half(self) -> float:
        """Half of the range: the largest deviation within it."""
        return (self.highest - self.lowest) / 2

    def said(self, values: Counted) -> tuple[int, int]:
        """Mean and deviation of a hospital's values as it says them; the middle and a fourth where it has none."""
        numbers, counts = values
        total = int(counts.sum())
        if not total:
            return 0, _word(2 * self._half / _GUESS, 0.0, self._half)
        mean = math.fsum((numbers * counts).tolist()) / total
        deviation = math.sqrt(math.fsum(((numbers - mean) ** 2 * counts).tolist()) / total)
        return _word(mean, self.lowest, self.highest), _word(deviation, 0.0, self._half)

    def read(self, mean: float, deviation: float) -> tuple[float, float]:
        """Mean and deviation in the input's units, from what hospitals said on average."""
        spread = self._half * (deviation / _MOST + 1) / 2
        # Below a step of what can be said, all hospitals have the same value in all records.
        varies = deviation + _MOST >= 1
        return self._middle + self._half * (mean / _MOST), spread if varies else 2 * self._half / _GUESS


def figures(inputs: Sequence[MeasuredInput], values: Sequence[Counted]) -> npt.NDArray[np.int64]:
    """What a hospital says of its inputs, all means and then all deviations, (2 * inputs,) int64."""
    words = [one.said(its) for one, its in zip(inputs, values, strict=True)]
    return np.array([*(mean for mean, _ in words), *(deviation for _, deviation in words)], dtype=np.int64)


def constants(
    inputs: Sequence[MeasuredInput], total: npt.NDArray[np.int64], count: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Means and deviations in the inputs' units, from the sum of `count` hospitals' figures.

    From exact integers by single roundings of IEEE 754, so that every node arrives at the same bytes.
    """
    means, deviations = np.split(total, 2)
    read = [
        one.read(int(mean) / count, int(deviation) / count)
        for one, mean, deviation in zip(inputs, means, deviations, strict=True)
    ]
    return tuple(mean for mean, _ in read), tuple(deviation for _, deviation in read)


def _word(value: float, lowest: float, highest: float) -> int:
    """Where `value` lies from one end to the other, in steps from -_MOST to _MOST."""
    share = 2 * (value - lowest) / (highest - lowest) - 1
    return max(-_MOST, min(_MOST, round(share * _MOST)))
