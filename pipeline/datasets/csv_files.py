"""CSV files as databases and spreadsheets write them.

Commas, semicolons or tabs between the cells, a point or a comma in decimal numbers, UTF-8 or Windows-1252: what a file
has is found out from the file, and never guessed where it contradicts itself.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import FileRejected

if TYPE_CHECKING:
    import pandas as pd

HEADER_ROWS = 2
"""Rows of a CSV file count from 1 and the header is the first, as a spreadsheet shows them."""

_SEPARATORS: Mapping[str, str] = {",": "commas", ";": "semicolons", "\t": "tabs"}
_WITH_COMMA = r"\s*[+-]?\d*,\d+\s*"
_WITH_POINT = r"\s*[+-]?\d*\.\d+\s*"


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written."""

    encoding: str
    separator: str
    decimal: str

    @property
    def sentence(self) -> str | None:
        """What a hospital should know of how its file is read; None for the usual form."""
        parts = [
            *([f"{_SEPARATORS[self.separator]} between the cells"] if self.separator != "," else []),
            *(["a comma in decimal numbers"] if self.decimal != "." else []),
            *([f"letters in {self.encoding}"] if self.encoding != "UTF-8" else []),
        ]
        return ", ".join(parts) or None


def read(file: Path, texts: Sequence[str], empty: Mapping[str, Sequence[str]]) -> tuple[pd.DataFrame, Dialect]:
    """The table, its index the row numbers, and how it is written; raises FileRejected naming file and row.

    The columns `texts` are read as text, the others as numbers where they are. `empty` are the words of a column that
    stand for an empty cell.
    """
    text, encoding = _decoded(file)
    separator = _separator(text, texts)
    names = _names(text, separator)
    # Only an empty cell is empty, and what the study says: another "NA" in a column of numbers is a word.
    form: dict[str, Any] = {
        "sep": separator,
        "index_col": False,
        "keep_default_na": False,
        "na_values": {name: ["", *empty.get(name, ())] for name in names},
        "skip_blank_lines": False,
        "low_memory": False,
    }
    decimal = "." if separator == "," else _decimal(_parsed(file, text, form | {"dtype": str}), texts, file.name)
    frame = _parsed(file, text, form | {"dtype": dict.fromkeys(texts, str), "decimal": decimal})
    return frame.dropna(how="all"), Dialect(encoding, separator, decimal)


def _decoded(file: Path) -> tuple[str, str]:
    data = file.read_bytes()
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise FileRejected(f"{file.name}: got UTF-16, as a spreadsheet's “Unicode text” is; save it as CSV in UTF-8")
    for encoding, name in (("utf-8-sig", "UTF-8"), ("cp1252", "Windows-1252")):
        try:
            return data.decode(encoding), name
        except UnicodeDecodeError as error:
            row = data.count(b"\n", 0, error.start) + 1
    raise FileRejected(
        f"{file.name}, row {row}: got letters that are neither UTF-8 nor Windows-1252; save it as CSV in UTF-8"
    )


def _separator(text: str, texts: Sequence[str]) -> str:
    """The one that parts the first row into most names, first of all into those that every such table has."""

    def score(separator: str) -> tuple[int, int]:
        names = _names(text, separator)
        return len(set(texts) & set(names)), len(names)

    return max(_SEPARATORS, key=score)


def _names(text: str, separator: str) -> Sequence[str]:
    try:
        return next(csv.reader(io.StringIO(text), delimiter=separator), [])
    except csv.Error:  # a field of more than 128 KiB: an unclosed quotation mark, which the reader of cells names
        return []


def _decimal(cells: pd.DataFrame, texts: Sequence[str], file: str) -> str:
    numbers = cells.drop(columns=[name for name in texts if name in cells])
    commas = _rows(numbers, _WITH_COMMA)
    points = _rows(numbers, _WITH_POINT)
    if commas and points:
        raise FileRejected(
            f"{file}: got a decimal comma in row {commas[0]} and a point in row {points[0]}; want one of them in all"
            " numbers, and no sign between thousands"
        )
    return "," if commas else "."


def _rows(cells: pd.DataFrame, pattern: str) -> list[int]:
    """The rows with a cell that is nothing but this."""
    matches = cells.apply(lambda column: column.astype("str").str.fullmatch(pattern, na=False))
    return [int(row) for row in cells.index[matches.any(axis=1)]] if len(cells.columns) else []


def _parsed(file: Path, text: str, form: Mapping[str, Any]) -> pd.DataFrame:
    import pandas as pd

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame: pd.DataFrame = pd.read_csv(io.StringIO(text), **form)
    except pd.errors.EmptyDataError:
        raise FileRejected(f"{file.name}: got an empty file, want a first row of column names") from None
    except pd.errors.ParserWarning:
        raise FileRejected(
            f"{file.name}: got more cells in the rows than names in the first row, want as many"
        ) from None
    except pd.errors.ParserError as error:
        raise FileRejected(f"{file.name}{_parse_fault(str(error))}") from None
    frame.index = pd.RangeIndex(HEADER_ROWS, len(frame) + HEADER_ROWS)
    return frame


def _parse_fault(message: str) -> str:
    # pandas counts cells and quotes none; anything else that it says stays behind.
    match = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", message)
    if match:
        wanted, line, got = match.groups()
        return f", row {line}: got {got} cells, want {wanted}, as the first row names them"
    return ": got an unclosed quotation mark, want every cell closed"
