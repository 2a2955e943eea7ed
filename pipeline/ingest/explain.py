"""Each failure of the data contract in a sentence for the hospital's own eyes: file, rows, what is allowed.

Never a record's value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.datasets.base import SPLITS, Dataset
from pipeline.datasets.cells import are_dates
from pipeline.datasets.features import Features
from pipeline.datasets.grouping import emptied
from pipeline.datasets.own_images import OwnImages
from pipeline.datasets.records import shielded
from pipeline.ingest.data_contract import cells, expectations
from pipeline.ingest.input_scale import scale_notes
from pipeline.ingest.validate import evaluate
from pipeline.model_file import Scale
from pipeline.study.study import Study

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult
    from great_expectations.expectations import Expectation

_SHOWN = 5
"""Rows that a sentence names."""

_SKEWED = 0.9
"""Share of one class from which on a note says so."""


@dataclass(frozen=True)
class Inspection:
    """What a hospital learns about its own records; nothing of it leaves."""

    rows: int
    expectations: int
    failures: Mapping[str, str]
    """Name of a failed expectation to a sentence that explains it."""
    notes: tuple[str, ...]
    """What is allowed and yet worth knowing."""

    @property
    def passed(self) -> bool:
        """Whether the hospital would take part with these records."""
        return self.expectations > 0 and not self.failures


def inspect(path: Path, study: Study, scale: Scale | None = None) -> Inspection:
    """Check a folder or file of records against a study's contract on this machine, and the scale that it measured.

    Raises DataRejected when it is unreadable.
    """
    dataset = study.source
    scaled = dataset if scale is None else study.scaled(scale).source
    measured = frozenset(one.name for one in dataset.measured)
    frame = shielded(path.name, "records are readable", lambda: emptied(dataset.frame(path), study.groupings))
    named = dict(expectations(study))
    failures = shielded(path.name, "records can be checked", lambda: _failures(frame, named))
    notes = shielded(
        path.name,
        "records can be described",
        lambda: (
            *dataset.notes(path),
            *_skew(frame),
            *_empty(frame, dataset),
            *scale_notes(frame, path, scaled, measured),
            *_waiting(path, dataset),
        ),
    )
    return Inspection(len(frame), len(named), failures, notes)


def cell_failures(frame: pd.DataFrame, dataset: Dataset) -> Mapping[str, str]:
    """Like `Inspection.failures`, of the columns of values alone: for records to predict."""
    return _failures(frame, dict(cells(dataset)))


def _failures(frame: pd.DataFrame, named: Mapping[str, Expectation]) -> dict[str, str]:
    results: ExpectationSuiteValidationResult = evaluate(frame, named)
    result_by_name = {result.expectation_config.meta["name"]: result for result in results.results}
    return {
        name: _sentence(name, result_by_name.get(name), frame)
        for name in named
        if name not in result_by_name or result_by_name[name].success is not True
    }


def _sentence(name: str, result: ExpectationValidationResult | None, frame: pd.DataFrame) -> str:
    if result is None:
        return f"“{name}” could not be checked."
    config = result.expectation_config
    column = config.kwargs.get("column")
    wanted = config.kwargs
    if column is not None and column not in frame:
        return f"“{name}” could not be checked, since there is no column {column}."
    rows = _rows(
        [int(row) for row in frame.index[_wrong(config.type, result, frame, column)]], str(frame.index.name or "row")
    )
    match config.type:
        case "expect_table_columns_to_match_set":
            return _columns(list(frame.columns), wanted["column_set"])
        case "expect_column_values_to_not_be_null":
            return f"{column} has an empty cell in {rows}; every record needs a value there."
        case "expect_column_values_to_be_unique":
            return f"{column} is the same in {rows}; every record needs one of its own."
        case "expect_column_values_to_be_in_set":
            allowed = ", ".join(
                f"{value:g}" if isinstance(value, float) else str(value) for value in wanted["value_set"]
            )
            return f"{column} is none of {allowed} in {rows}; another coding or spelling?"
        case "expect_column_values_to_be_in_type_list" if are_dates(frame[column]):
            return (
                f"{column} holds dates, and the study wants numbers; days since another column are such, which its line"
                " `days_since` names."
            )
        case "expect_column_values_to_be_in_type_list":
            return f"{column} holds no number in {rows}; a word, a unit or a decimal comma? Leave unknown cells empty."
        case "expect_column_values_to_be_between":
            if not rows:
                return (
                    f"{column} can be compared with {wanted['min_value']:g} to {wanted['max_value']:g} once every cell"
                    " holds a number."
                )
            return (
                f"{column} lies outside {wanted['min_value']:g} to {wanted['max_value']:g} in {rows}; another unit, or"
                " a typing error?"
            )
        case "expect_table_row_count_to_be_between":
            return (
                f"“{name}”: there are {result.result.get('observed_value', 'fewer')}; the hospital can take part once"
                " it has enough."
            )
    return f"“{name}” does not hold."


def _wrong(kind: str, result: ExpectationValidationResult, frame: pd.DataFrame, column: str | None) -> Any:
    """Which rows of the table are wrong, (n,) bool."""
    import pandas as pd

    if column is None:
        return [False] * len(frame)
    cells = frame[column]
    # pandas would take a date for the nanoseconds since 1970.
    comparable = pd.Series(index=cells.index, dtype=object) if are_dates(cells) else cells
    numbers = pd.to_numeric(comparable, errors="coerce")
    match kind:
        case "expect_column_values_to_be_in_type_list":
            return cells.notna() & numbers.isna()
        case "expect_column_values_to_be_between":
            # A word in the column keeps Great Expectations from comparing the numbers beside it.
            bounds = result.expectation_config.kwargs
            return numbers.notna() & ~numbers.between(bounds["min_value"], bounds["max_value"])
    rows = {
        next(value for key, value in entry.items() if key != column)
        for entry in result.result.get("unexpected_index_list") or ()
    }
    return frame.index.isin(list(rows))


def _columns(got: Sequence[str], wanted: Sequence[str]) -> str:
    # An unknown name is told by its place: without a first row of names it would be a patient's value.
    missing = [name for name in wanted if name not in got]
    surplus = [str(number) for number, name in enumerate(got, start=1) if name not in wanted]
    parts = [f"there is no column {', '.join(missing)}"] if missing else []
    if surplus:
        parts.append(
            f"column {', '.join(surplus[:_SHOWN])}{' and more' if len(surplus) > _SHOWN else ''} is none of the"
            " study's: remove it"
        )
    return "; ".join(parts).capitalize() + "."


def _rows(rows: Sequence[int], where: str) -> str:
    if not rows:
        return ""
    noun, _, file = where.partition(" of ")
    named = ", ".join(map(str, rows[:_SHOWN]))
    more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    return f"{noun}{'s' if len(rows) > 1 else ''} {named}{more}{f' of {file}' if file else ''}"


def _skew(frame: pd.DataFrame) -> list[str]:
    if not {"split", "label"} <= set(frame.columns):
        return []
    labels = frame["label"][frame["split"] == SPLITS[0]]
    shares = labels.value_counts(normalize=True)
    return [
        f"{share:.0%} of the training records are {label}: honest data, and allowed; the smaller class decides how well"
        " a model is checked."
        for label, share in shares.items()
        if share >= _SKEWED and len(shares) > 1
    ]


def _empty(frame: pd.DataFrame, dataset: Dataset) -> list[str]:
    columns = [
        column
        for column in (*dataset.bounds, *dataset.categories)
        if column in dataset.optional and column in frame and frame[column].isna().all()
    ]
    return [f"No record has {', '.join(columns)}: allowed, and the model is told so."] if columns else []


def _waiting(path: Path, dataset: Dataset) -> list[str]:
    pictures = dataset.pictures if isinstance(dataset, Features) else dataset
    waiting = pictures.unlisted(path) if isinstance(pictures, OwnImages) else 0
    return [f"{waiting} files have no label yet and take no part."] if waiting else []
