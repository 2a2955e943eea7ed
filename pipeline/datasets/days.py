"""Dates as numbers: the days from one date of a record to another."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pipeline.errors import FileRejected

if TYPE_CHECKING:
    import pandas as pd

SOME_DAY = datetime(2000, 1, 1)
"""The date since which days count that come without dates."""

_ISO = r"\d{4}-\d\d-\d\d"
_ZONE = r"(?:[+-]\d\d:?\d\d|Z)$"
_SHOWN = 5
"""Rows that a message names."""


def days(frame: pd.DataFrame, column: str, since: str) -> pd.Series[float]:
    """Days, with their parts, from the dates of `since` to those of `column`; empty where either is.

    Both are texts, as ISO 8601 writes dates. Raises FileRejected naming file and rows.
    """
    import pandas as pd

    where = str(frame.index.name).removeprefix("row of ")
    spans = _dates(frame[column], where) - _dates(frame[since], where)
    zoned = pd.concat([frame[column], frame[since]]).dropna().str.contains(_ZONE)
    if zoned.any() and not zoned.all():
        raise FileRejected(f"{where}: got times with and without a time zone in {column} and {since}, want one form")
    return spans.dt.total_seconds() / 86_400


def date_after(count: float) -> datetime:
    """The date so many days after SOME_DAY; raises OverflowError where there is none."""
    return SOME_DAY + timedelta(days=count)


def _dates(cells: pd.Series[Any], where: str) -> pd.Series[Any]:
    import pandas as pd

    parsed = pd.to_datetime(cells.where(cells.str.match(_ISO)), format="ISO8601", errors="coerce", utc=True)
    wrong = [str(row) for row in cells.index[parsed.isna() & cells.notna()]]
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise FileRejected(
            f"{where}: got no date in {cells.name} of row{'s' if len(wrong) > 1 else ''} {', '.join(wrong[:_SHOWN])}"
            f"{more}; want one such as 2026-11-29 or 2026-11-29T08:30:00"
        )
    return parsed
