"""The groups of patients that a study's file makes of a column, by what its data set knows of that column."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from pipeline.datasets import DATASETS, Dataset
from pipeline.datasets.grouping import NOT_STATED, Grouping, as_number, said
from pipeline.datasets.own_table import OwnTable
from pipeline.datasets.schema import OF_EVERY_RECORD
from pipeline.study.fields import MOST_GROUPS, GroupColumn

_RESERVED = OF_EVERY_RECORD | {"file"}
_TRUTHS = frozenset({"true", "false"})
"""In any case, what a cell is that is read as 1 or 0."""


def grouping(dataset: Dataset, name: str, column: GroupColumn) -> Grouping:
    """The groups of the column of that name; raises ValueError saying what the column takes."""
    if name in _RESERVED:
        raise ValueError("a column that says something of the patient")
    is_input = name in {*dataset.bounds, *dataset.categories}
    if not is_input and dataset.name in DATASETS:
        raise ValueError(f"a column of {dataset.name}: {', '.join([*dataset.bounds, *dataset.categories])}")
    values = _values(dataset, name, column, is_input)
    names = values or _of_bands(column.bands)
    if len(names) > MOST_GROUPS:
        raise ValueError(f"at most {MOST_GROUPS} groups, and it makes {len(names)}")
    spelled = values or tuple(map(said, column.bands))
    if len(set(spelled)) != len(spelled):
        raise ValueError("numbers that differ in their first 15 digits")
    if column.names:
        if len(column.names) != len(names):
            raise ValueError(f"as many names as groups: {', '.join(names)}")
        names = column.names
    if NOT_STATED in names:
        raise ValueError(f"another word than {NOT_STATED}, which an empty cell is")
    may_be_empty = not is_input or name in dataset.optional
    return Grouping(
        name,
        (*names, NOT_STATED) if may_be_empty else names,
        values,
        column.bands,
        is_input,
        missing=() if is_input else _missing(dataset),
        within=None if column.lowest is None or column.highest is None else (column.lowest, column.highest),
    )


def _values(dataset: Dataset, name: str, column: GroupColumn, is_input: bool) -> tuple[str, ...]:
    """What cells say in each group; nothing of a column of numbers."""
    if not is_input:
        if not column.bands and not column.categories:
            raise ValueError(
                "bands of its numbers or categories of its words: it is no input, so nothing else says them"
            )
        if isinstance(dataset, OwnTable) and name in {one.days_since for one in dataset.columns}:
            raise ValueError("another column: days count from the dates of this one, and nothing else reads them")
        _require_bands_within(column, column.lowest, column.highest)
        for word in column.categories:
            _require_cell(word, _missing(dataset))
        return column.categories
    given = dataset.categories.get(name) or tuple(map(said, dataset.codes.get(name, ())))
    if column.lowest is not None:
        raise ValueError("no lowest and highest: it is an input, and the study says what it may hold")
    if column.categories or (given and column.bands):
        raise ValueError("no more than names: it is an input, and the study says what it may hold")
    if not given and not column.bands:
        raise ValueError("bands of its numbers, such as {bands: [40, 65]}")
    lowest, highest = dataset.bounds.get(name, (None, None))
    _require_bands_within(column, lowest, highest)
    return given


def _require_bands_within(column: GroupColumn, lowest: float | None, highest: float | None) -> None:
    if lowest is not None and highest is not None and not all(lowest < bound <= highest for bound in column.bands):
        raise ValueError(f"bands within {said(lowest)} to {said(highest)}, which is what it may hold")


def _require_cell(word: str, missing: Sequence[str]) -> None:
    """Raise ValueError for a word that no cell says, as cells of a column that is no input are read."""
    if word in missing:
        raise ValueError(f"categories without {word}, which stands for an empty cell in this study")
    if word.casefold() in _TRUTHS:
        raise ValueError("categories 1 and 0 in the place of true and false, as which such cells are read")
    if word != word.strip():
        raise ValueError("categories without blanks around them, without which cells are read")
    number = as_number(word)
    if number is not None and said(number) != word:
        raise ValueError(f"categories with {said(number)} in the place of {word}, as which such cells are read")


def _missing(dataset: Dataset) -> tuple[str, ...]:
    """Signs of an empty cell in any column of the study's records."""
    return dataset.missing if isinstance(dataset, OwnTable) else ()


def _of_bands(bands: tuple[float, ...]) -> tuple[str, ...]:
    between = [f"{said(low)} to below {said(high)}" for low, high in pairwise(bands)]
    return (f"below {said(bands[0])}", *between, f"{said(bands[-1])} or more")
