"""The groups of patients that a study's file makes of a column, by what its data set knows of that column."""

from __future__ import annotations

from itertools import pairwise

from pipeline.datasets import DATASETS, Dataset
from pipeline.datasets.grouping import NOT_STATED, Grouping, said
from pipeline.datasets.patients import PATIENT
from pipeline.study.fields import GroupColumn

_RESERVED = frozenset({"record_id", PATIENT, "split", "label", "file"})


def grouping(dataset: Dataset, name: str, column: GroupColumn) -> Grouping:
    """The groups of the column of that name; raises ValueError saying what the column takes."""
    if name in _RESERVED:
        raise ValueError("a column that says something of the patient")
    is_input = name in {*dataset.bounds, *dataset.categories}
    if not is_input and dataset.name in DATASETS:
        raise ValueError(f"a column of {dataset.name}: {', '.join([*dataset.bounds, *dataset.categories])}")
    values = _values(dataset, name, column, is_input)
    names = tuple(values) or _of_bands(column.bands)
    if column.names:
        if len(column.names) != len(names):
            raise ValueError(f"as many names as groups: {', '.join(names)}")
        names = column.names
    if NOT_STATED in names:
        raise ValueError(f"another word than {NOT_STATED}, which an empty cell is")
    may_be_empty = not is_input or name in dataset.optional
    return Grouping(name, (*names, NOT_STATED) if may_be_empty else names, values, column.bands, is_input)


def _values(dataset: Dataset, name: str, column: GroupColumn, is_input: bool) -> tuple[str, ...]:
    """What cells say in each group; nothing of a column of numbers."""
    if not is_input:
        if not column.bands and not column.categories:
            raise ValueError(
                "bands of its numbers or categories of its words: it is no input, so nothing else says them"
            )
        return column.categories
    given = dataset.categories.get(name) or tuple(map(said, dataset.codes.get(name, ())))
    if column.categories or (given and column.bands):
        raise ValueError("no more than names: it is an input, and the study says what it may hold")
    if not given and not column.bands:
        raise ValueError("bands of its numbers, such as {bands: [40, 65]}")
    lowest, highest = dataset.bounds.get(name, (0, 0))
    if not all(lowest < bound <= highest for bound in column.bands):
        raise ValueError(f"bands within {lowest:g} to {highest:g}, which is what it may hold")
    return given


def _of_bands(bands: tuple[float, ...]) -> tuple[str, ...]:
    between = [f"{low:g} to below {high:g}" for low, high in pairwise(bands)]
    return (f"below {bands[0]:g}", *between, f"{bands[-1]:g} or more")
