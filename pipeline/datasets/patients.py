"""Whose record each is, where a hospital says it: what belongs to one patient stays on one side of every division.

The column itself is read at the hospital and let go. What is kept of it beside a record is a hash under the hospital's
own secret, which says nothing to anybody else.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.errors import FileRejected
from pipeline.host.secret import Secret

if TYPE_CHECKING:
    import pandas as pd

PATIENT = "patient"
"""The column, beside those of a data set. Without it every record counts as a patient of its own; for pictures their
DICOM files may fill it."""

SecretSource: TypeAlias = Callable[[], Secret]
"""Where a hospital's own secret comes from; asked only where there are patients."""

Patients = npt.NDArray[np.bytes_]
"""Keyed hash of each record's patient, (n,) 64 hexadecimal digits."""

_SHOWN = 5
"""Rows that a message names."""


def hashed(frame: pd.DataFrame, secret: SecretSource) -> Patients | None:
    """The keyed hash of each record's patient; None where the table does not say whose records they are."""
    if PATIENT not in frame:
        return None
    key = hmac.digest(secret().reveal(), b"wardround patients v1", hashlib.sha256)
    return np.array(
        [hmac.digest(key, str(patient).encode(), hashlib.sha256).hex() for patient in frame[PATIENT]], dtype="S64"
    )


def without(frame: pd.DataFrame) -> pd.DataFrame:
    """The table without the column: neither contract nor data docs see it."""
    return frame.drop(columns=PATIENT, errors="ignore")


def unknown(frame: pd.DataFrame, beside: str = "") -> list[str]:
    """The note that a table does not say whose records they are; `beside` is what else might have."""
    if PATIENT in frame:
        return []
    where = str(frame.index.name).removeprefix("row of ")
    return [
        f"{where} has no column {PATIENT}{beside}: nobody can know whether records of one patient are trained on and"
        " tested on, and the accuracy may be too good."
    ]


def groups(patients: Patients | None, count: int) -> npt.NDArray[np.int64]:
    """The number of each record's patient, (n,) from 0."""
    if patients is None:
        return np.arange(count)
    return np.unique(patients, return_inverse=True)[1].astype(np.int64)


def check(frame: pd.DataFrame) -> None:
    """Raise FileRejected where a record has no patient, or a patient records in training and test alike, by row."""
    if PATIENT not in frame:
        return
    where = str(frame.index.name).removeprefix("row of ")
    if rows := _rows(frame, frame[PATIENT].isna()):
        raise FileRejected(
            f"{where}: got no patient in {rows}; want one in every row, or no column {PATIENT}, and then nobody knows"
            " which records are one patient's"
        )
    if "split" not in frame:
        return
    divided = frame.groupby(PATIENT)["split"].nunique()
    if rows := _rows(frame, frame[PATIENT].isin(divided.index[divided > 1])):
        raise FileRejected(
            f"{where}: got patients with records in train and in test, in {rows}; want all of a patient's in one of"
            " them, or no column split"
        )


def _rows(frame: pd.DataFrame, wrong: pd.Series[Any]) -> str:
    rows = [str(row) for row in frame.index[wrong]]
    more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    return f"row{'s' if len(rows) > 1 else ''} {', '.join(rows[:_SHOWN])}{more}" if rows else ""
