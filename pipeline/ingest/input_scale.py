"""Whether inputs lie on a scale that a model learns from, by a hospital's own records and for its own eyes.

A model's inputs want a mean near 0 and a deviation near 1 on the study's scale. What is said of records is rounded to
the first digit of how much they vary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pipeline.datasets.base import Dataset
from pipeline.datasets.cells import are_dates
from pipeline.datasets.images import CHANNELS
from pipeline.datasets.own_images import OwnImages
from pipeline.datasets.table import Column, Table
from pipeline.domain import INPUT_BITS

if TYPE_CHECKING:
    import pandas as pd

LEAST_VARIATION, MOST_VARIATION = 0.1, 10.0
"""Units of the study's scale, as a standard deviation."""

NEARLY_CONSTANT = 0.2
"""Variation as a share of the distance from zero, where that is a unit or more: below it an input tells a model little
more than a constant does, whatever its variation."""

_FEWEST = 10
"""Values without which nothing is said: a mean of few would tell one of them."""

_PICTURES = 200
"""As many are looked at."""


def scale_notes(frame: pd.DataFrame, path: Path, dataset: Dataset) -> list[str]:
    """A sentence for each input that varies too little or too much; `frame` is the data set's of `path`."""
    if isinstance(dataset, Table):
        return [note for column in dataset.columns for note in _of_column(column, frame)]
    if isinstance(dataset, OwnImages) and not dataset.measured and dataset.constants is None:
        return _of_pictures(dataset.encode(dataset.pixels(path, _PICTURES)))
    return []


def _of_column(column: Column, frame: pd.DataFrame) -> list[str]:
    import pandas as pd

    # How often a code comes is not a matter of its scale, and what is measured fits.
    if (
        column.measured
        or column.categories
        or column.codes
        or column.name not in frame
        or are_dates(frame[column.name])
    ):
        return []
    numbers = pd.to_numeric(frame[column.name], errors="coerce").astype("float64")
    values = numbers[numbers.between(column.lowest, column.highest)].to_numpy()
    scores = (values - column.mean) / column.deviation
    if len(values) < _FEWEST or not (trouble := _trouble(scores)):
        return []
    if np.ptp(values) == 0:
        return [f"{column.name} is the same in all records: no model learns from it here."]
    mean, deviation = _rounded(values)
    return [
        f"{column.name} {trouble}, and is hard to learn from. Here it is about {mean} with a deviation of about"
        f" {deviation}; `mean: {mean}, deviation: {deviation}` in the study would fit, if others see the same."
    ]


def _of_pictures(inputs: npt.NDArray[np.int16]) -> list[str]:
    notes = []
    for name, levels in zip(CHANNELS[inputs.shape[1]], np.moveaxis(inputs, 1, 0), strict=True):
        # All studies have one scale of pictures. Levels that are all the same are for the contract to refuse.
        if len(levels) >= _FEWEST and 0 < levels.std() < LEAST_VARIATION * (1 << INPUT_BITS):
            mean, deviation = _rounded(levels + 128.0)
            notes.append(
                f"{name} varies by less than a tenth of a unit, and is hard to learn from. Here it is about {mean} of"
                f" 255 with a deviation of about {deviation}; pictures have no constants in a study: a window, or"
                " `bits` in the study, that spreads them over more levels would fit."
            )
    return notes


def _trouble(scores: npt.NDArray[np.floating]) -> str:
    variation = float(scores.std())
    distance = abs(float(scores.mean()))
    if variation < LEAST_VARIATION:
        return "varies by less than a tenth of a unit on the study's scale"
    if variation > MOST_VARIATION:
        return "varies by more than ten units on the study's scale"
    if distance >= 1 and variation < NEARLY_CONSTANT * distance:
        return "varies by less than a fifth of its distance from the study's mean"
    return ""


def _rounded(values: npt.NDArray[np.floating]) -> tuple[str, str]:
    """Mean and deviation, both to the first digit of the deviation."""
    digit = math.floor(math.log10(float(values.std())))
    rounded: Sequence[float] = [round(float(number), -digit) for number in (values.mean(), values.std())]
    mean, deviation = (f"{number:.15g}" for number in rounded)
    return mean, deviation
