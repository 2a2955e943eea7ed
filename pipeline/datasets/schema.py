"""What a study's file says about data of the hospitals' own.

The columns of a table, or the size of pictures, and the classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from pipeline.datasets.own_images import OwnImages
from pipeline.datasets.own_table import OwnTable
from pipeline.datasets.table import Column

_Text = Annotated[str, StringConstraints(min_length=1, max_length=60, pattern=r"^[^\x00-\x1f\x7f]+$")]
_Classes = Annotated[tuple[_Text, ...], Field(min_length=2, max_length=100)]
_Number = Annotated[float, Field(ge=-1e15, le=1e15)]  # doubles beyond it are not exact to a unit
_Side = Annotated[int, Field(ge=4, le=1024)]

_RESERVED = frozenset({"record_id", "split", "label"})


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class ColumnSchema(_Model):
    """A number column: `[lowest, highest]`, or fields of these names; a code stands for a category."""

    lowest: Annotated[_Number, Field(json_schema_extra={"default": "the lowest code"})]
    """Lowest value that the data contract allows."""
    highest: Annotated[_Number, Field(json_schema_extra={"default": "the highest code"})]
    """Highest value that the data contract allows."""
    mean: Annotated[_Number, Field(json_schema_extra={"default": "the middle of the range"})]
    """Subtracted before the model sees a value."""
    deviation: Annotated[float, Field(gt=0, le=1e15, json_schema_extra={"default": "a fourth of the range"})]
    """What a value is then divided by."""
    codes: Annotated[tuple[_Number, ...], Field(max_length=1000)] = ()
    """The only values allowed, where numbers stand for categories."""
    empty: Literal["refused", "mean", "flagged"] = "refused"
    """What an empty cell is: refused, the mean, or the mean with a further input that flags it."""

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, value: Any) -> Any:
        """The middle of the range stands for the mean, and a fourth of it for the deviation, unless they are given."""
        if isinstance(value, list | tuple):
            if len(value) != 2:
                raise ValueError("a range takes [lowest, highest]")
            value = {"lowest": value[0], "highest": value[1]}
        if not isinstance(value, Mapping):
            raise ValueError("a column takes [lowest, highest] or a mapping")
        fields = dict(value)
        codes = fields.get("codes")
        if isinstance(codes, list | tuple) and codes and all(isinstance(code, int | float) for code in codes):
            fields = {"lowest": min(codes), "highest": max(codes)} | fields
        lowest = fields.get("lowest")
        highest = fields.get("highest")
        if isinstance(lowest, int | float) and isinstance(highest, int | float):
            if not lowest < highest:
                raise ValueError("the lowest value lies below the highest")
            fields = {"mean": (lowest + highest) / 2, "deviation": (highest - lowest) / 4} | fields
        return fields


class TableSchema(_Model):
    """records.csv or records.parquet: record_id, these columns, label, and `split` where the hospital decides it."""

    columns: Annotated[Mapping[_Text, ColumnSchema], Field(min_length=1, max_length=1000)]
    """Name of a column to what it may hold; these are the model's inputs, in this order."""
    classes: _Classes
    """What the column `label` may say, in the order of the model's outputs."""

    @field_validator("columns")
    @classmethod
    def _names(cls, columns: Mapping[str, ColumnSchema]) -> Mapping[str, ColumnSchema]:
        if taken := _RESERVED & columns.keys():
            raise ValueError(f"{', '.join(sorted(taken))} is there by itself, and no input of the model")
        return columns

    def dataset(self, name: str) -> OwnTable:
        """The data set of that name."""
        columns = tuple(Column(name=column, **dict(spec)) for column, spec in self.columns.items())
        return OwnTable(name, columns, self.classes)


class ImagesSchema(_Model):
    """A folder of pictures and labels.csv; `size` is [height, width] of the model's input."""

    size: tuple[_Side, _Side]
    """Height and width of the model's input; other pictures are cut to these proportions and scaled."""
    classes: _Classes
    """What the column `label` of labels.csv may say, in the order of the model's outputs."""
    channels: Literal[1, 3] = 1
    """1: grey pictures, and one in colour is refused. 3: pictures in colour, among which grey ones may be."""
    bits: Annotated[int, Field(ge=9, le=16)] | None = None
    """Bits of a grey value in PNG and TIFF files of 16 bits: 12 means that 4095 is white. Without it they are refused.
    """

    def dataset(self, name: str) -> OwnImages:
        """The data set of that name."""
        return OwnImages(name, self.size, self.classes, self.channels, self.bits)
