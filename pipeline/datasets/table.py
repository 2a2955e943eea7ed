"""Tables: numbers, standardised by public constants, categories, one input each, and days between dates."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from pipeline.datasets import graphs, table_files
from pipeline.datasets.base import RECORDS, SPLITS, Dataset, PredictionBatch, Records, Split, with_split
from pipeline.datasets.days import SOME_DAY, date_after, days
from pipeline.datasets.measured import Counted, MeasuredInput
from pipeline.datasets.patients import PATIENT, SecretSource, without
from pipeline.domain import INPUT_BITS
from pipeline.errors import FileRejected
from pipeline.host.secret import Secret

if TYPE_CHECKING:
    import pandas as pd
    import torch

_TEXTS = ("record_id", PATIENT, "split", "label")
_SHOWN = 5
"""Columns that a message names."""


@dataclass(frozen=True)
class Column:
    """A column: public mean and standard deviation for encoding, and the range that the data contract allows.

    Of one with `categories` a value is the place of its word among them.
    """

    name: str
    mean: float
    deviation: float
    lowest: float
    highest: float
    codes: tuple[float, ...] = ()
    """The only values allowed, where numbers stand for categories."""
    empty: Literal["refused", "mean", "flagged"] = "refused"
    """What an empty cell is: against the contract, encoded as the mean, or that with one more input of the model that
    says so. Of categories the mean is none of them."""
    categories: tuple[str, ...] = ()
    """The only words allowed, where words are the values: each is an input of its own, 1 or 0."""
    days_since: str | None = None
    """The column of dates from which the days to the dates of this one count."""
    missing: tuple[str, ...] = ()
    """Words and numbers that stand for an empty cell."""
    measured: bool = False
    """Whether mean and deviation still have to be measured by the study's first round."""

    @property
    def inputs(self) -> int:
        """How many inputs of the model it is, its flag not counted."""
        return len(self.categories) or 1

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


def width(columns: Sequence[Column]) -> int:
    """How many inputs of the model these columns are, with their flags."""
    return sum(column.inputs + (column.empty == "flagged") for column in columns)


class Table(Dataset):
    """A data set of columns.

    Inputs are standard scores clipped to `input_range`, or 1 for a category and 0 for its others, column by column;
    then the flags of empty cells.
    """

    @property
    @abstractmethod
    def columns(self) -> tuple[Column, ...]:
        """The columns in the order of the model's inputs."""

    @property
    def bounds(self) -> Mapping[str, tuple[float, float]]:
        """The range of each column of numbers."""
        return {column.name: (column.lowest, column.highest) for column in self.columns if not column.categories}

    @property
    def codes(self) -> Mapping[str, tuple[float, ...]]:
        """The codes of each column of numbers that stand for categories."""
        return {column.name: column.codes for column in self.columns if column.codes}

    @property
    def categories(self) -> Mapping[str, tuple[str, ...]]:
        """The words of each column of categories."""
        return {column.name: column.categories for column in self.columns if column.categories}

    @property
    def optional(self) -> frozenset[str]:
        """The columns in which a cell may be empty."""
        return frozenset(column.name for column in self.columns if column.empty != "refused")

    @property
    def measured(self) -> Sequence[MeasuredInput]:
        """The columns whose constants the study's first round measures."""
        return tuple(
            MeasuredInput(column.name, column.lowest, column.highest) for column in self.columns if column.measured
        )

    def statistics(self, folder: Path) -> Sequence[Counted]:
        """Of each measured column the values of the training records, without the empty ones."""
        frame = self._table(folder)
        numbers = self._values(frame)[(frame["split"] == SPLITS[0]).to_numpy()]
        values = [numbers[:, index] for index, column in enumerate(self.columns) if column.measured]
        filled = [of_column[~np.isnan(of_column)] for of_column in values]
        return [(of_column, np.ones(len(of_column), np.int64)) for of_column in filled]

    def encode(self, values: npt.NDArray[Any]) -> npt.NDArray[np.int16]:
        """Standard scores with 8 fractional bits, clipped, zero where empty, or 1.0 for a category; then flags.

        Raises ValueError on another NaN, Refused before a column's constants are measured.
        """
        self._require_scale()
        numbers = values.astype(np.float64)
        empty = np.isnan(numbers)
        refused = [column.empty == "refused" for column in self.columns]
        if empty[:, refused].any():
            raise ValueError("an empty cell in a column that takes none")
        inputs = [self._inputs(column, numbers[:, [index]]) for index, column in enumerate(self.columns)]
        flags = empty[:, [column.empty == "flagged" for column in self.columns]].astype(np.int16) << INPUT_BITS
        return np.concatenate([*inputs, flags], axis=1)

    def _inputs(self, column: Column, numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.int16]:
        """One column (n, 1) as its inputs (n, `column.inputs`)."""
        if column.categories:
            is_word: npt.NDArray[np.int16] = (numbers == np.arange(column.inputs)).astype(np.int16)
            return is_word << INPUT_BITS
        scores = np.rint((numbers - column.mean) / column.deviation * (1 << INPUT_BITS))
        return np.clip(np.where(np.isnan(numbers), 0, scores), *self.input_range).astype(np.int16)

    def torch(self) -> torch.nn.Module:
        """Values (n, columns) float64 as `encode` takes them."""
        self._require_scale()
        return graphs.inputs("TableInputs", self.columns, self.input_range)

    @property
    def preparation(self) -> Mapping[str, Any]:
        """Rows of numbers, by column."""
        lowest, highest = (bound / (1 << INPUT_BITS) for bound in self.input_range)
        return {
            "kind": "table",
            "input": {"name": "values", "dtype": "float64", "shape": ["records", len(self.columns)]},
            "columns": [_described(column) for column in self.columns],
            "before": [
                "One row a record, its columns in this order, in the units of the records.",
                "A word of `categories` is its place among them, from 0.",
                "A column with `days_since` is the whole days from the date there to the date here.",
                "A cell that is empty, or holds a word of `missing`, is NaN where `empty` is mean or flagged."
                " Where it is refused, so is the row.",
                "Refuse a row with a value outside `lowest` to `highest`, or none of `codes` or `categories`:"
                " the model was trained on no such record.",
            ],
            "inside": [
                "A column of numbers: value minus `mean`, by `deviation`, times 256, rounded half to even, by 256,"
                f" clipped to {lowest:g} to {highest:g}; 0 where NaN. In double precision.",
                "A column of categories: one input for each, 1 where the value is its place, else 0.",
                "After all columns, an input for each whose `empty` is flagged: 1 where NaN, else 0.",
            ],
        }

    def write(self, folder: Path, train: Records, test: Records) -> None:
        """One CSV file of all records."""
        import pandas as pd

        parts = []
        for split, records in zip(SPLITS, (train, test), strict=True):
            part = self._cells(records.values)
            part.insert(0, "record_id", records.ids)
            part.insert(1, "split", split)
            if records.patients is not None:
                part.insert(2, PATIENT, records.patients)
            part["label"] = [self.classes[label] for label in records.labels]
            parts.append(part)
        folder.mkdir(parents=True, exist_ok=True)
        pd.concat(parts).to_csv(folder / RECORDS, index=False)

    def frame(self, folder: Path) -> pd.DataFrame:
        """The table as it is, with a column `split`, and days in the place of dates."""
        return without(self._table(folder))

    def read(self, folder: Path, secret: SecretSource = Secret.generate) -> Split:
        """The table, encoded."""
        frame = self._table(folder)
        return self._split(frame, self._values(frame), secret)

    def notes(self, folder: Path) -> Sequence[str]:
        """How a CSV file is written, where that is not the usual form."""
        written = table_files.form(folder, self._texts, self._missing)
        return [written] if written else []

    def questions(self, path: Path) -> PredictionBatch:
        """A table with the study's columns; `record_id` names the rows where it is there, others are not read."""
        if path.suffix == ".json":
            return self.questions_of(table_files.from_json(path.read_text(), path.name))
        return self.questions_of(table_files.read(path, self._texts, self._missing))

    def questions_of(self, frame: pd.DataFrame) -> PredictionBatch:
        """Rows to predict; raises FileRejected naming a column that is missing."""
        frame = self._with_days(table_files.typed(frame, self._texts, self._missing))
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
        cells = frame.reindex(columns=names)
        # What is no number is refused by the contract on `cells`; among the values it only has to have a place.
        return PredictionBatch(np.array(ids, dtype=np.str_), self._numbers(cells).to_numpy(np.float64), cells)

    @property
    def _texts(self) -> Sequence[str]:
        """The columns that are read as text."""
        dates = [name for column in self.columns if column.days_since for name in (column.name, column.days_since)]
        return [*_TEXTS, *self.categories, *dates]

    @property
    def _missing(self) -> Mapping[str, Sequence[str]]:
        words = {column.days_since: column.missing for column in self.columns if column.days_since}
        return words | {column.name: column.missing for column in self.columns}

    def _table(self, folder: Path) -> pd.DataFrame:
        frame = self._with_days(table_files.read(folder, self._texts, self._missing))
        return with_split(frame, "record_id") if "record_id" in frame else frame

    def _with_days(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Days in the place of dates, without the dates since which they count."""
        counted = {column.name: column.days_since for column in self.columns if column.days_since}
        for column, since in counted.items():
            if column in frame and since not in frame:
                where = str(frame.index.name).removeprefix("row of ")
                raise FileRejected(f"{where}: got no column {since}; want it beside {column}, whose days count from it")
        return frame.assign(
            **{column: days(frame, column, since) for column, since in counted.items() if column in frame}
        ).drop(columns=list(counted.values()), errors="ignore")

    def _cells(self, values: npt.NDArray[Any]) -> pd.DataFrame:
        """Values (n, columns) as they stand in a table."""
        import pandas as pd

        frame = pd.DataFrame(values, columns=[column.name for column in self.columns])
        for column in self.columns:
            if column.categories:
                frame[column.name] = frame[column.name].map(dict(enumerate(column.categories)))
            elif column.days_since:
                frame[column.name] = frame[column.name].map(date_after, na_action="ignore")
                frame[column.days_since] = SOME_DAY
        return frame

    def _numbers(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The columns in their order as numbers, a category as its place among its column's; NaN for anything else."""
        import pandas as pd

        return pd.DataFrame(
            {
                column.name: frame[column.name].map({word: index for index, word in enumerate(column.categories)})
                if column.categories
                else pd.to_numeric(frame[column.name], errors="coerce")
                for column in self.columns
            }
        ).astype("float64")

    def _values(self, frame: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Of records that keep the contract; raises ValueError on a cell that is neither empty nor a value."""
        numbers = self._numbers(frame)
        if (numbers.isna() & frame[list(numbers.columns)].notna()).any(axis=None):
            raise ValueError("a cell that is no value of its column")
        return numbers.to_numpy(np.float64)


def _described(column: Column) -> dict[str, Any]:
    """A column as JSON takes it, without what it has not."""
    constants = {} if column.categories else {"mean": column.mean, "deviation": column.deviation}
    given = {"codes": column.codes, "categories": column.categories, "missing": column.missing}
    since = {"days_since": column.days_since} if column.days_since else {}
    words = {field: list(values) for field, values in given.items() if values}
    bounds = {} if column.categories else {"lowest": column.lowest, "highest": column.highest}
    return {"name": column.name, **bounds, **constants, **words, **since, "empty": column.empty}
