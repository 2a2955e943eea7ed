"""Groups of patients by a column of a hospital's records: by its words, its codes, or bands of its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pipeline.datasets import cells, records
from pipeline.datasets.base import SPLITS, Dataset
from pipeline.errors import DataRejected

if TYPE_CHECKING:
    import pandas as pd

NOT_STATED = "not stated"
"""The group of records whose cell is empty."""

Groups = npt.NDArray[np.int64]
"""Group of each record, (n,) from 0."""


@dataclass(frozen=True)
class Grouping:
    """A column, and the groups that its cells make; the last is NOT_STATED where a cell may be empty."""

    column: str
    names: tuple[str, ...]
    values: tuple[str, ...] = ()
    """What a cell says in each group, numbers in their shortest form; none where bands part numbers."""
    bands: tuple[float, ...] = ()
    """The lowest number of each band but the first."""
    is_input: bool = True
    """Whether the column is one that the model or the data contract reads anyway."""
    missing: tuple[str, ...] = ()
    """Words and numbers that stand for an empty cell, of a column that is no input."""
    within: tuple[float, float] | None = None
    """What its numbers lie between, of a column that is no input and has such bounds."""

    def of(self, column: pd.Series) -> Groups:
        """The group of each cell of a column that keeps the contract; raises KeyError for a word that is none."""
        empty = column.isna().to_numpy()
        if self.bands:
            numbers = column.to_numpy(np.float64)
            return np.where(empty, len(self.bands) + 1, np.searchsorted(self.bands, numbers, side="right"))
        places = {value: place for place, value in enumerate(self.values)}
        filled = [len(self.values) if none else places[said(cell)] for cell, none in zip(column, empty, strict=True)]
        return np.array(filled, dtype=np.int64)


def said(value: object) -> str:
    """A word, or a number in its shortest form, as cells and studies write either."""
    return value if isinstance(value, str) else f"{value:.15g}"


def as_number(word: str) -> float | None:
    """The number that a word writes; None where it is none."""
    try:
        return float(word)
    except ValueError:
        return None


def emptied(frame: pd.DataFrame, groupings: Sequence[Grouping]) -> pd.DataFrame:
    """The table with empty cells in the place of the signs of such, in columns that are no input."""
    signed = [one for one in groupings if one.missing and one.column in frame]
    return frame.assign(**{one.column: cells.numbers(frame[one.column], one.missing) for one in signed})


def tested(home: Path, dataset: Dataset, groupings: Sequence[Grouping]) -> list[Groups]:
    """By each grouping the groups of a hospital's test records, in the order in which `records.read` has them.

    Raises DataRejected, without any value.
    """
    frame = records.frame(home, dataset)
    test = frame[frame["split"] == SPLITS[1]]
    if missing := [one.column for one in groupings if one.column not in test]:
        raise DataRejected(home.name, tuple(f"records have a column {name}" for name in missing))
    return records.shielded(home.name, "records fall into the study's groups", lambda: _groups(test, groupings))


def _groups(frame: pd.DataFrame, groupings: Sequence[Grouping]) -> list[Groups]:
    filled = emptied(frame, groupings)
    return [one.of(filled[one.column]) for one in groupings]
