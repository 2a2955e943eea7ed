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
from pipeline.datasets.features import Features
from pipeline.datasets.images import CHANNELS, MIDDLE_GREY
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

_MEASURED = "measured constants would fit, or a window, or `bits` in the study, that spreads it over more levels."
_TRAINED = (
    "the study's backbone was trained on pictures of other levels: a window, or `bits` in the study, brings these"
    " nearer, or `mean` and `deviation` of `images` are not its own."
)


def scale_notes(frame: pd.DataFrame, path: Path, dataset: Dataset, measured: frozenset[str]) -> list[str]:
    """A sentence for each input that varies too little or too much, and one for those that are still to be measured.

    `frame` is the data set's of `path`; the study measures the inputs `measured`, and `dataset` has what it found.
    """
    notes = []
    if waiting := ", ".join(one.name for one in dataset.measured):
        notes.append(
            f"The study's first round measures mean and deviation of {waiting} over all hospitals' records, under"
            " encryption; check again after it."
        )
    if isinstance(dataset, Table):
        notes += [note for column in dataset.columns for note in _of_column(column, frame, measured)]
    elif isinstance(dataset, Features):
        notes += _of_pictures(dataset.pictures, path, measured, _TRAINED)
    elif isinstance(dataset, OwnImages) and not waiting:
        notes += _of_pictures(dataset, path, measured, _MEASURED)
    return notes


def _of_column(column: Column, frame: pd.DataFrame, measured: frozenset[str]) -> list[str]:
    import pandas as pd

    # How often a code comes is not a matter of its scale.
    if column.categories or column.codes or column.name not in frame or are_dates(frame[column.name]):
        return []
    numbers = pd.to_numeric(frame[column.name], errors="coerce").astype("float64")
    values = numbers[numbers.between(column.lowest, column.highest)].to_numpy()
    if len(values) >= _FEWEST and np.ptp(values) == 0:
        return [f"{column.name} is the same in all records: no model learns from it here."]
    if len(values) < _FEWEST or column.measured or not (trouble := _trouble(values, column.mean, column.deviation)):
        return []
    mean, deviation = _rounded(values)
    remedy = (
        _others(column.mean, column.deviation)
        if column.name in measured
        else f"`mean: {mean}, deviation: {deviation}` in the study would fit, if others see the same."
    )
    return [
        f"{column.name} {trouble}, and is hard to learn from. Here it is about {mean} with a deviation of about"
        f" {deviation}; {remedy}"
    ]


def _of_pictures(dataset: OwnImages, path: Path, measured: frozenset[str], otherwise: str) -> list[str]:
    notes = []
    pixels = np.moveaxis(dataset.pixels(path, _PICTURES), 1, 0)
    means, deviations = dataset.constants or ([MIDDLE_GREY] * len(pixels), [1 << INPUT_BITS] * len(pixels))
    for name, levels, mean, deviation in zip(CHANNELS[len(pixels)], pixels, means, deviations, strict=True):
        # Levels that are all the same are for the contract to refuse.
        values = levels.astype(np.float64)
        if len(levels) < _FEWEST or np.ptp(values) == 0 or not (trouble := _trouble(values, mean, deviation)):
            continue
        about, spread = _rounded(values)
        remedy = _others(mean, deviation) if name in measured else otherwise
        notes.append(
            f"{name} {trouble}, and is hard to learn from. Here it is about {about} of 255 with a deviation of about"
            f" {spread}; {remedy}"
        )
    return notes


def _others(mean: float, deviation: float) -> str:
    """What the study measured."""
    return f"over all hospitals it is {mean:.4g} with a deviation of {deviation:.4g}: another unit, or other patients?"


def _trouble(values: npt.NDArray[np.floating], mean: float, deviation: float) -> str:
    scores = (values - mean) / deviation
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
