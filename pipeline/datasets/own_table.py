"""A hospital's own table: records.csv or records.parquet with the columns that the study's file describes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.datasets import table_files
from pipeline.datasets.base import RECORDS, SPLITS, Records
from pipeline.datasets.own_images import own_folder
from pipeline.datasets.patients import PATIENT, unknown
from pipeline.datasets.table import Column, Table, width


class OwnTable(Table):
    """The study's columns, encoded by the public constants that it gives or implies."""

    source = "the hospitals themselves"
    input_range = (-1024, 1024)

    def __init__(
        self,
        name: str,
        columns: tuple[Column, ...],
        classes: tuple[str, ...],
        query: str | None = None,
        missing: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.title = name
        self.classes = classes
        self.query = query
        """Name of the file of SQL in a hospital's folder of records that fills records.parquet, where it has one."""
        self.missing = missing
        """Words and numbers that stand for an empty cell in any column; its own columns have them already."""
        self._columns = columns
        self.shape = (width(columns),)

    @property
    def columns(self) -> tuple[Column, ...]:
        """As the study gives them."""
        return self._columns

    def load(self, folders: Sequence[Path]) -> tuple[Records, Records]:
        """For a demonstration: the folder of this data set's name, laid out as at a hospital, to be dealt out."""
        frame = self._table(own_folder(self.name, folders, RECORDS, table_files.PARQUET))
        patients = frame[PATIENT].to_numpy(np.str_) if PATIENT in frame else None
        everything = Records(frame["record_id"].to_numpy(np.str_), self._values(frame), self._labels(frame), patients)
        train, test = (everything[np.flatnonzero((frame["split"] == split).to_numpy())] for split in SPLITS)
        return train, test

    def notes(self, folder: Path) -> Sequence[str]:
        """How the file is written, and that nobody knows whose records they are, where that is so."""
        return [*super().notes(folder), *unknown(self._table(folder))]
