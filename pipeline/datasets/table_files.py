"""Reading a table that somebody else made, CSV, Parquet or JSON.

What is wrong is said by file and row, never by a value.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.datasets.base import RECORDS
from pipeline.errors import EvidenceRejected, FileRejected
from pipeline.evidence.canonical import read_json

if TYPE_CHECKING:
    import pandas as pd

PARQUET = "records.parquet"

_HEADER_ROWS = 2
"""Rows of a CSV file count from 1 and the header is the first, as a spreadsheet shows them."""


def read(path: Path, texts: Sequence[str]) -> pd.DataFrame:
    """The table of a folder or file, its index the row numbers.

    The columns `texts` as text, the others as numbers where they are.
    """
    file = _file(path)
    frame = _parquet(file) if file.suffix == ".parquet" else _csv(file, texts)
    if frame.columns.has_duplicates:
        raise FileRejected(f"{file.name}: got two columns of one name, want every name once")
    return typed(frame, texts).rename_axis(index=f"row of {file.name}")


def from_json(text: str, where: str) -> pd.DataFrame:
    """One object, or a list of objects, of column name to value; the index counts from 1."""
    import pandas as pd

    try:
        parsed = read_json(text.encode())
    except (EvidenceRejected, UnicodeEncodeError):
        parsed = None
    rows = parsed if isinstance(parsed, list) else [parsed]
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise FileRejected(f"{where}: got no JSON object of column name to value, nor a list of them") from None
    frame = pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1))
    return typed(frame, ()).rename_axis(index=f"row of {where}")


def typed(frame: pd.DataFrame, texts: Sequence[str]) -> pd.DataFrame:
    """Numbers as float64 whatever their width, text columns as text.

    A column that holds anything else stays what it is.
    """
    import pandas as pd

    changed = {}
    for column in frame.columns:
        values = frame[column]
        if column in texts:
            changed[column] = values.where(values.isna(), values.astype(str))
        elif pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            changed[column] = values.astype("float64")
        elif values.isna().all():
            changed[column] = pd.Series(float("nan"), index=values.index)
    return frame.assign(**changed)


def _file(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise FileRejected(f"{path.name}: got no such file, want the table of the records")
    files = [path / name for name in (RECORDS, PARQUET) if (path / name).is_file()]
    if len(files) != 1:
        what = "neither" if not files else "both"
        raise FileRejected(f"{path.name}: got {what} of {RECORDS} and {PARQUET}, want one of them")
    return files[0]


def _parquet(file: Path) -> pd.DataFrame:
    import pandas as pd
    import pyarrow
    import pyarrow.parquet

    try:
        frame: pd.DataFrame = pyarrow.parquet.read_table(file).to_pandas(ignore_metadata=True)
    except (pyarrow.ArrowException, OSError):
        raise FileRejected(
            f"{file.name}: got a file that cannot be read as Parquet; write it again or use {RECORDS}"
        ) from None
    return frame.set_axis(pd.RangeIndex(1, len(frame) + 1), axis="index")


def _csv(file: Path, texts: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                file,
                dtype=dict.fromkeys(texts, str),
                encoding="utf-8-sig",
                index_col=False,
                # Only an empty cell is empty: a "NA" or "null" in a column of numbers is a word and said to be one.
                keep_default_na=False,
                na_values=[""],
                skip_blank_lines=False,
            )
    except pd.errors.EmptyDataError:
        raise FileRejected(f"{file.name}: got an empty file, want a first row of column names") from None
    except pd.errors.ParserWarning:
        raise FileRejected(
            f"{file.name}: got more cells in the rows than names in the first row, want as many"
        ) from None
    except pd.errors.ParserError as error:
        raise FileRejected(f"{file.name}{_parse_fault(str(error))}") from None
    except UnicodeDecodeError as error:
        raise FileRejected(
            f"{file.name}: got bytes that are no UTF-8 (at byte {error.start}); save it as CSV in UTF-8"
        ) from None
    if len(frame.columns) == 1 and ";" in str(frame.columns[0]):
        raise FileRejected(
            f"{file.name}: got columns separated by semicolons, want commas, and a point in decimal numbers"
        )
    frame.index = pd.RangeIndex(_HEADER_ROWS, len(frame) + _HEADER_ROWS)
    return frame.dropna(how="all")


def _parse_fault(message: str) -> str:
    # pandas counts cells and quotes none; anything else that it says stays behind.
    match = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", message)
    if match:
        wanted, line, got = match.groups()
        return f", row {line}: got {got} cells, want {wanted}, as the first row names them"
    return ": got an unclosed quotation mark, want every cell closed"
