"""Reading a table that somebody else made, CSV, Parquet or JSON.

What is wrong is said by file and row, never by a value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from pipeline.datasets import cells, csv_files
from pipeline.datasets.base import RECORDS
from pipeline.errors import EvidenceRejected, FileRejected
from pipeline.evidence.canonical import read_json

if TYPE_CHECKING:
    import pandas as pd

PARQUET = "records.parquet"

_Words = Mapping[str, Sequence[str]]

_NO_WORDS: _Words = MappingProxyType({})


def read(path: Path, texts: Sequence[str], empty: _Words = _NO_WORDS) -> pd.DataFrame:
    """The table of a folder or file, its index the row numbers.

    The columns `texts` as text, the others as numbers where they are. `empty` are the words of a column that stand for
    an empty cell.
    """
    file = _file(path)
    frame = _parquet(file) if file.suffix == ".parquet" else csv_files.read(file, texts, empty)[0]
    if frame.columns.has_duplicates:
        raise FileRejected(f"{file.name}: got two columns of one name, want every name once")
    return typed(frame, texts, empty).rename_axis(index=f"row of {file.name}")


def form(path: Path, texts: Sequence[str], empty: _Words = _NO_WORDS) -> str | None:
    """A sentence on how the file is written that `read` takes; None where that is the usual form."""
    file = _file(path)
    written = None if file.suffix == ".parquet" else csv_files.read(file, texts, empty)[1].sentence
    return f"{file.name} is read with {written}." if written else None


def from_json(text: str, where: str) -> pd.DataFrame:
    """One object, or a list of objects, of column name to value, not typed yet; the index counts from 1."""
    import pandas as pd

    try:
        parsed = read_json(text.encode())
    except (EvidenceRejected, UnicodeEncodeError):
        parsed = None
    rows = parsed if isinstance(parsed, list) else [parsed]
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise FileRejected(f"{where}: got no JSON object of column name to value, nor a list of them") from None
    frame = pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1))
    return frame.rename_axis(index=f"row of {where}")


def typed(frame: pd.DataFrame, texts: Sequence[str], empty: _Words = _NO_WORDS) -> pd.DataFrame:
    """The columns `texts` as text, the others as float64 where all their cells are numbers.

    A column that holds anything else stays what it is.
    """
    return frame.assign(
        **{
            column: (cells.texts if column in texts else cells.numbers)(frame[column], empty.get(column, ()))
            for column in frame.columns
        }
    )


def _file(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise FileRejected(f"{path.name}: got no such file, want the table of the records")
    files = [path / name for name in (RECORDS, PARQUET) if (path / name).is_file()]
    if len(files) != 1:
        what = "neither" if not files else "both"
        hint = "; `wardround data freeze` asks the query for it" if not files and any(path.glob("*.sql")) else ""
        raise FileRejected(f"{path.name}: got {what} of {RECORDS} and {PARQUET}, want one of them{hint}")
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
