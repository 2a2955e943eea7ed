"""Groups of patients by a column of a hospital's records: by its words, its codes, or bands of its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pipeline.datasets import records
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

    def of(self, cells: pd.Series) -> Groups:
        """The group of each cell of a column that keeps the contract; raises KeyError for a word that is none."""
        empty = cells.isna().to_numpy()
        if self.bands:
            numbers = cells.to_numpy(np.float64)
            return np.where(empty, len(self.bands) + 1, np.searchsorted(self.bands, numbers, side="right"))
        places = {value: place for place, value in enumerate(self.values)}
        filled = [len(self.values) if none else places[said(cell)] for cell, none in zip(cells, empty, strict=True)]
        return np.array(filled, dtype=np.int64)


def said(value: object) -> str:
    """A word, or a number in its shortest form, as cells and studies write either."""
    return value if isinstance(value, str) else f"{value:.15g}"


def tested(home: Path, dataset: Dataset, groupings: Sequence[Grouping]) -> list[Groups]:
    """By each grouping the groups of a hospital's test records, in the order in which `records.read` has them.

    Raises DataRejected, without any value.
    """
    frame = records.frame(home, dataset)
    test = frame[frame["split"] == SPLITS[1]]
    if missing := [one.column for one in groupings if one.column not in test]:
        raise DataRejected(home.name, tuple(f"records have a column {name}" for name in missing))
    return records.shielded(
        home.name, "records fall into the study's groups", lambda: [one.of(test[one.column]) for one in groupings]
    )
