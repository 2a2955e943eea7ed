"""Heart disease (UCI 45).

920 patients of four real hospitals, which differ in whom they see and in what they measure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline.datasets import publishers
from pipeline.datasets.base import Records
from pipeline.datasets.table import Column, Table, width
from pipeline.errors import Misconfigured

_FILES: Mapping[str, str] = {
    "cleveland": "processed.cleveland.data",
    "hungary": "processed.hungarian.data",
    "switzerland": "processed.switzerland.data",
    "long-beach": "processed.va.data",
}

_YES_NO = (0.0, 1.0)
_COLUMNS = (
    # Publisher's name; mean and deviation that a cardiologist would guess, since statistics of a cohort that nobody
    # pools would have to be computed together; then the range or the codes. A cell may be empty where one of the four
    # hospitals leaves it so; those that whole hospitals leave empty get a flag of their own, for that a test was not
    # made says something about the patient.
    Column("age", 54, 9, 1, 110),  # years
    Column.coded("sex", 0.7, 0.46, _YES_NO, "refused"),  # 1 male
    Column.coded("cp", 3.2, 0.95, (1, 2, 3, 4), "refused"),  # chest pain: typical angina, atypical, other pain, none
    Column("trestbps", 132, 18, 40, 300, empty="mean"),  # mm Hg at rest, on admission
    Column("chol", 245, 55, 40, 1000, empty="flagged"),  # serum cholesterol, mg/dl
    Column.coded("fbs", 0.15, 0.36, _YES_NO, "mean"),  # fasting blood sugar above 120 mg/dl
    Column.coded("restecg", 0.6, 0.8, (0, 1, 2), "mean"),  # ECG at rest: normal, ST-T abnormal, hypertrophy
    Column("thalach", 138, 26, 30, 260, empty="mean"),  # highest heart rate reached
    Column.coded("exang", 0.4, 0.49, _YES_NO, "mean"),  # angina on exercise
    Column("oldpeak", 0.9, 1.1, -5, 10, empty="flagged"),  # ST depression by exercise, mm
    Column.coded("slope", 1.8, 0.6, (1, 2, 3), "flagged"),  # of the ST segment: up, flat, down
    Column.coded("ca", 0.7, 0.95, (0, 1, 2, 3), "flagged"),  # major vessels coloured by fluoroscopy
    Column.coded("thal", 5, 1.95, (3, 6, 7), "flagged"),  # scintigraphy: normal, fixed defect, reversible defect
)

_ORDER_SEED = 45
_TEST_EVERY = 4


class HeartDisease(Table):
    """Angiography finds a vessel narrowed by more than half, or not.

    13 columns and 5 flags of what was not measured.
    """

    name = "heart_disease"
    title = "Heart disease of four hospitals"
    shape = (width(_COLUMNS),)
    classes = ("healthy", "heart disease")
    input_range = (-1024, 1024)
    source = "UCI 45, CC BY 4.0; Janosi, Steinbrunn, Pfisterer, Detrano"
    sites = tuple(_FILES)
    columns = _COLUMNS

    def load(self, folders: Sequence[Path]) -> tuple[Records, Records]:
        """Of each class of each hospital, every fourth record of a seeded order is a test record."""
        folder = publishers.find(self.name, folders)
        rng = np.random.Generator(np.random.PCG64(_ORDER_SEED))
        parts: list[tuple[Records, Records]] = []
        for site, file in _FILES.items():
            records = _read(site, folder / file)
            test = np.zeros(len(records), dtype=bool)
            for label in range(len(self.classes)):
                test[rng.permutation(np.flatnonzero(records.labels == label))[::_TEST_EVERY]] = True
            parts.append((records[np.flatnonzero(~test)], records[np.flatnonzero(test)]))
        train, test_records = (_together(part) for part in zip(*parts, strict=True))
        return train, test_records


def _together(parts: Sequence[Records]) -> Records:
    arrays = zip(*((part.ids, part.values, part.labels) for part in parts), strict=True)
    return Records(*(np.concatenate(array) for array in arrays))


def _read(site: str, file: Path) -> Records:
    try:
        rows = np.genfromtxt(file, delimiter=",", missing_values="?", filling_values=np.nan, dtype=np.float64)
    except ValueError as error:
        raise Misconfigured(
            f"{file}: got rows of unequal length, want the publisher's file of {len(_COLUMNS) + 1} columns"
        ) from error
    if rows.ndim != 2 or rows.shape[1] != len(_COLUMNS) + 1 or np.isnan(rows[:, -1]).any():
        raise Misconfigured(
            f"{file}: got {rows.shape} numbers, want the publisher's file of {len(_COLUMNS) + 1} columns"
        )
    values = rows[:, :-1]
    for name in ("trestbps", "chol"):  # nobody lives with a zero there: it stands for not measured
        index = [column.name for column in _COLUMNS].index(name)
        values[values[:, index] == 0, index] = np.nan
    ids = np.array([f"{site}-{row:03d}" for row in range(len(rows))])
    return Records(ids, values, (rows[:, -1] > 0).astype(np.int64))
