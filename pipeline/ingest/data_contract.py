"""The data contract as Great Expectations.

Every expectation has a name that is public and says nothing about a record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pipeline.datasets.base import SPLITS, Dataset
from pipeline.datasets.grouping import Grouping, as_number, said
from pipeline.study.study import Study

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation

_NUMBERS = ["int64", "float64"]


def expectations(study: Study) -> Iterator[tuple[str, Expectation]]:
    """Name and expectation, on the table `Dataset.frame` of all records of one hospital."""
    import great_expectations.expectations as gxe
    from great_expectations.expectations.row_conditions import Column

    dataset = study.source
    floor = study.data_contract.min_per_class
    beside = [one for one in study.groupings if not one.is_input]
    columns = ["record_id", "split", *dataset.bounds, *dataset.categories, *(one.column for one in beside), "label"]
    yield "columns are the data set's", gxe.ExpectTableColumnsToMatchSet(column_set=columns, exact_match=True)
    for column in ("record_id", "split", "label"):
        yield f"{column} has no empty cell", gxe.ExpectColumnValuesToNotBeNull(column=column)
    yield "record_id is unique", gxe.ExpectColumnValuesToBeUnique(column="record_id")
    yield f"split is {' or '.join(SPLITS)}", gxe.ExpectColumnValuesToBeInSet(column="split", value_set=list(SPLITS))
    yield (
        f"label is {' or '.join(dataset.classes)}",
        gxe.ExpectColumnValuesToBeInSet(column="label", value_set=list(dataset.classes)),
    )
    yield from cells(dataset)
    yield from _groups(beside)
    for label in dataset.classes:
        yield (
            f"train has at least {floor} records of {label}",
            gxe.ExpectTableRowCountToBeBetween(
                min_value=floor, row_condition=(Column("split") == SPLITS[0]) & (Column("label") == label)
            ),
        )
        yield (
            f"test has at least 1 record of {label}",
            gxe.ExpectTableRowCountToBeBetween(
                min_value=1, row_condition=(Column("split") == SPLITS[1]) & (Column("label") == label)
            ),
        )


def _groups(groupings: Sequence[Grouping]) -> Iterator[tuple[str, Expectation]]:
    """Name and expectation of columns that are no input of the model, and part its patients into groups."""
    import great_expectations.expectations as gxe

    for one in groupings:
        if one.bands:
            yield (
                f"{one.column} is a number",
                gxe.ExpectColumnValuesToBeInTypeList(column=one.column, type_list=_NUMBERS),
            )
            if one.within:
                lowest, highest = one.within
                yield (
                    f"{one.column} is within {said(lowest)} to {said(highest)}",
                    gxe.ExpectColumnValuesToBeBetween(column=one.column, min_value=lowest, max_value=highest),
                )
            continue
        # A column of words that look like numbers is read as numbers.
        numbers = [number for word in one.values if (number := as_number(word)) is not None]
        yield (
            f"{one.column} is {' or '.join(one.values)}",
            gxe.ExpectColumnValuesToBeInSet(column=one.column, value_set=[*one.values, *numbers]),
        )


def cells(dataset: Dataset) -> Iterator[tuple[str, Expectation]]:
    """Name and expectation of the columns of values alone: what a record to predict must keep too."""
    import great_expectations.expectations as gxe

    for column, (lowest, highest) in dataset.bounds.items():
        yield f"{column} is a number", gxe.ExpectColumnValuesToBeInTypeList(column=column, type_list=_NUMBERS)
        if column not in dataset.optional:
            yield f"{column} has no empty cell", gxe.ExpectColumnValuesToNotBeNull(column=column)
        if column in dataset.codes:
            codes = dataset.codes[column]
            yield (
                f"{column} is {', '.join(f'{code:g}' for code in codes)}",
                gxe.ExpectColumnValuesToBeInSet(column=column, value_set=list(codes)),
            )
            continue
        yield (
            f"{column} is within {lowest:g} to {highest:g}",
            gxe.ExpectColumnValuesToBeBetween(column=column, min_value=lowest, max_value=highest),
        )
    for column, words in dataset.categories.items():
        if column not in dataset.optional:
            yield f"{column} has no empty cell", gxe.ExpectColumnValuesToNotBeNull(column=column)
        yield (
            f"{column} is {' or '.join(words)}",
            gxe.ExpectColumnValuesToBeInSet(column=column, value_set=list(words)),
        )
