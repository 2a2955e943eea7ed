"""Tables of numbers: one CSV file, each column standardised by public constants."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from pipeline.datasets import table_files
from pipeline.datasets.base import RECORDS, SPLITS, Dataset, PredictionBatch, Records, Split, with_split
from pipeline.domain import INPUT_BITS
from pipeline.errors import FileRejected

if TYPE_CHECKING:
    import pandas as pd

_TEXTS = ("record_id", "split", "label")
_SHOWN = 5
"""Columns that a message names."""


@dataclass(frozen=True)
class Column:
    """A number column: public mean and standard deviation for encoding, and the range that the data contract allows."""

    name: str
    mean: float
    deviation: float
    lowest: float
    highest: float
    codes: tuple[float, ...] = ()
    """The only values allowed, where numbers stand for categories."""
    empty: Literal["refused", "mean", "flagged"] = "refused"
    """What an empty cell is: against the contract, encoded as the mean, or that with one more input of the model that
    says so."""

    @classmethod
    def coded(
        cls,
        name: str,
        mean: float,
        deviation: float,
        codes: tuple[float, ...],
        empty: Literal["refused", "mean", "flagged"],
    ) -> Column:
        """A column of categories that are written as numbers."""
        return cls(name, mean, deviation, min(codes), max(codes), codes, empty)


class Table(Dataset):
    """A data set of number columns.

    Inputs are standard scores clipped to `input_range`, then the flags of empty cells.
    """

    @property
    @abstractmethod
    def columns(self) -> tuple[Column, ...]:
        """The columns in the order of the model's inputs."""

    @property
    def bounds(self) -> Mapping[str, tuple[float, float]]:
        """The range of each column."""
        return {column.name: (column.lowest, column.highest) for column in self.columns}

    @property
    def codes(self) -> Mapping[str, tuple[float, ...]]:
        """The codes of each column of categories."""
        return {column.name: column.codes for column in self.columns if column.codes}

    @property
    def optional(self) -> frozenset[str]:
        """The columns in which a cell may be empty."""
        return frozenset(column.name for column in self.columns if column.empty != "refused")

    def encode(self, values: npt.NDArray[Any]) -> npt.NDArray[np.int16]:
        """Standard scores with 8 fractional bits, clipped, zero where empty, then flags of 0 or 1.0.

        Raises ValueError on another NaN.
        """
        numbers = values.astype(np.float64)
        empty = np.isnan(numbers)
        refused = [column.empty == "refused" for column in self.columns]
        if empty[:, refused].any():
            raise ValueError("an empty cell in a column that takes none")
        mean = np.array([column.mean for column in self.columns])
        deviation = np.array([column.deviation for column in self.columns])
        scores = np.where(empty, 0, np.rint((numbers - mean) / deviation * (1 << INPUT_BITS)))
        flags = empty[:, [column.empty == "flagged" for column in self.columns]].astype(np.int16) << INPUT_BITS
        return np.concatenate([np.clip(scores, *self.input_range).astype(np.int16), flags], axis=1)

    def write(self, folder: Path, train: Records, test: Records) -> None:
        """One CSV file of all records."""
        import pandas as pd

        parts = []
        for split, records in zip(SPLITS, (train, test), strict=True):
            part = pd.DataFrame(records.values, columns=[column.name for column in self.columns])
            part.insert(0, "record_id", records.ids)
            part.insert(1, "split", split)
            part["label"] = [self.classes[label] for label in records.labels]
            parts.append(part)
        folder.mkdir(parents=True, exist_ok=True)
        pd.concat(parts).to_csv(folder / RECORDS, index=False)

    def frame(self, folder: Path) -> pd.DataFrame:
        """The table as it is, with a column `split`."""
        frame = table_files.read(folder, _TEXTS)
        return with_split(frame, "record_id") if "record_id" in frame else frame

    def read(self, folder: Path) -> Split:
        """The table, encoded."""
        frame = self.frame(folder)
        return self._split(frame, self._numbers(frame))

    def questions(self, path: Path) -> PredictionBatch:
        """A table with the number columns; `record_id` names the rows where it is there, other columns are not read."""
        json = path.suffix == ".json"
        return self.questions_of(
            table_files.from_json(path.read_text(), path.name) if json else table_files.read(path, _TEXTS)
        )

    def questions_of(self, frame: pd.DataFrame) -> PredictionBatch:
        """Rows to predict; raises FileRejected naming a column that is missing."""
        names = [column.name for column in self.columns]
        where = str(frame.index.name)
        missing = [name for name in names if name not in frame and name not in self.optional]
        if missing:
            more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
            columns = f"{', '.join(missing[:_SHOWN])}{more}"
            raise FileRejected(
                f"{where.removeprefix('row of ')}: got no column {columns}; want all {len(names)} of {self.name}"
            )
        ids = (
            frame["record_id"].astype(str)
            if "record_id" in frame
            else [f"{where.split()[0]} {row}" for row in frame.index]
        )
        cells = table_files.typed(frame.reindex(columns=names), ())
        return PredictionBatch(np.array(ids, dtype=np.str_), cells.apply(_as_numbers).to_numpy(np.float64), cells)

    def _numbers(self, frame: pd.DataFrame) -> npt.NDArray[np.float64]:
        return frame[[column.name for column in self.columns]].to_numpy(np.float64)


def _as_numbers(cells: pd.Series[Any]) -> pd.Series[float]:
    # What is no number is refused by the contract on `frame`; here it only has to have a place.
    import pandas as pd

    return pd.to_numeric(cells, errors="coerce")
