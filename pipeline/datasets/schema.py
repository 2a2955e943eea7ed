"""What a study's file says about data of the hospitals' own.

The columns of a table, or the size of pictures, and the classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, field_validator, model_validator

from pipeline.datasets.backbone import Backbone
from pipeline.datasets.features import Features
from pipeline.datasets.own_images import OwnImages
from pipeline.datasets.own_table import OwnTable
from pipeline.datasets.patients import PATIENT
from pipeline.datasets.picture import Window
from pipeline.datasets.table import Column
from pipeline.domain import Sha256

CellText = Annotated[str, StringConstraints(min_length=1, max_length=60, pattern=r"^[^\x00-\x1f\x7f]+$")]
_Classes = Annotated[tuple[CellText, ...], Field(min_length=2, max_length=100)]
CellNumber = Annotated[float, Field(ge=-1e15, le=1e15)]  # doubles beyond it are not exact to a unit
_Levels = Annotated[tuple[Annotated[float, Field(ge=0, le=255)], ...], Field(min_length=1, max_length=3)]
_Side = Annotated[int, Field(ge=4, le=1024)]


def _word(value: Any) -> Any:
    """A number as the word that it is written as; YAML takes yes, no, true and false for something else."""
    if isinstance(value, bool):
        raise ValueError("words: write yes, no, true and false in quotes")
    return f"{value:.15g}" if isinstance(value, int | float) else value


_Word = Annotated[CellText, BeforeValidator(_word)]

_QueryFile = Annotated[str, StringConstraints(max_length=60, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.sql$")]

_OF_NUMBERS = frozenset({"lowest", "highest", "mean", "deviation", "codes", "days_since"})
"""Fields of a column of numbers alone."""

_TOGETHER = "mean and deviation go together: give both, or neither"
"""Of half a pair the other half would be a guess."""

OF_EVERY_RECORD = frozenset({"record_id", PATIENT, "split", "label"})
"""Columns that say whose record it is and what it is for, and are no inputs."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class ColumnSchema(_Model):
    """A column: `[lowest, highest]` for numbers, or fields of these names. Booleans are the numbers 0 and 1."""

    lowest: Annotated[CellNumber, Field(json_schema_extra={"default": "the lowest code"})]
    """Lowest value that the data contract allows."""
    highest: Annotated[CellNumber, Field(json_schema_extra={"default": "the highest code"})]
    """Highest value that the data contract allows."""
    mean: Annotated[CellNumber | None, Field(json_schema_extra={"default": "as `scale` says"})] = None
    """Subtracted before the model sees a value."""
    deviation: Annotated[
        Annotated[float, Field(gt=0, le=1e15)] | None, Field(json_schema_extra={"default": "as `scale` says"})
    ] = None
    """What a value is then divided by."""
    codes: Annotated[tuple[CellNumber, ...], Field(max_length=1000)] = ()
    """The only values allowed, where numbers stand for categories."""
    categories: Annotated[tuple[_Word, ...], Field(max_length=100)] = ()
    """The only words allowed, where words do. Each is an input of the model, 1 or 0. They take no range."""
    days_since: CellText | None = None
    """A column of dates that is no input. This column has dates too, and its value is the days between the two."""
    empty: Literal["refused", "mean", "flagged"] = "refused"
    """What an empty cell is: refused, the mean, or the mean with a further input that flags it."""
    missing: Annotated[tuple[_Word, ...], Field(max_length=20)] = ()
    """Words and numbers that stand for an empty cell, beside those of the table."""

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, value: Any) -> Any:
        """A list as a range, codes as the range that they span."""
        if isinstance(value, list | tuple):
            if len(value) != 2:
                raise ValueError("a range takes [lowest, highest]")
            value = {"lowest": value[0], "highest": value[1]}
        if not isinstance(value, Mapping):
            raise ValueError("a column takes [lowest, highest] or a mapping")
        fields = dict(value)
        if "categories" in fields:
            return _of_words(fields)
        codes = fields.get("codes")
        if isinstance(codes, list | tuple) and codes and all(isinstance(code, int | float) for code in codes):
            fields = {"lowest": min(codes), "highest": max(codes)} | fields
        lowest = fields.get("lowest")
        highest = fields.get("highest")
        if isinstance(lowest, int | float) and isinstance(highest, int | float) and not lowest < highest:
            raise ValueError("the lowest value lies below the highest")
        return fields

    @field_validator("categories")
    @classmethod
    def _distinct(cls, categories: tuple[str, ...]) -> tuple[str, ...]:
        if len(categories) == 1 or len(set(categories)) != len(categories):
            raise ValueError("two categories or more, each once")
        return categories

    @model_validator(mode="after")
    def _both_constants(self) -> ColumnSchema:
        if (self.mean is None) != (self.deviation is None):
            raise ValueError(_TOGETHER)
        return self

    def column(self, name: str, missing: tuple[_Word, ...], *, awaits_scale: bool) -> Column:
        """The column of that name, with the middle and a fourth of the range where no constants are given."""
        guessed = {"mean": (self.lowest + self.highest) / 2, "deviation": (self.highest - self.lowest) / 4}
        given = self.mean is not None
        measured = awaits_scale and not given and not self.codes
        constants = {} if given else guessed
        fields = dict(self) | constants | {"missing": (*missing, *self.missing), "measured": measured}
        return Column(name=name, **fields)


def _of_words(fields: dict[str, Any]) -> dict[str, Any]:
    if taken := fields.keys() & _OF_NUMBERS:
        raise ValueError(f"categories without {' and '.join(sorted(taken))}")
    words = fields["categories"]
    if not isinstance(words, list | tuple) or not words:
        raise ValueError("categories takes a list of words, such as [M, F]")
    # A value is a word's place among them.
    return {"lowest": 0, "highest": len(words) - 1, "mean": 0, "deviation": 1} | fields


def _said(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A column's fields without those that others of them imply."""
    implied = _OF_NUMBERS if fields["categories"] else {"categories"}
    return {name: value for name, value in fields.items() if name not in implied}


class TableSchema(_Model):
    """records.csv or records.parquet: record_id, these columns, label.

    `patient` tells whose record it is, and `split` stands where the hospital decides it.
    """

    columns: Annotated[Mapping[CellText, ColumnSchema], Field(min_length=1, max_length=1000)]
    """Name of a column to what it may hold; these are the model's inputs, in this order."""
    classes: _Classes
    """What the column `label` may say, in the order of the model's outputs."""
    missing: Annotated[tuple[_Word, ...], Field(max_length=20)] = ()
    """Words and numbers that stand for an empty cell in any column, such as NA or -9."""
    scale: Literal["measured", "range"] = "measured"
    """What scales a column of numbers without `mean` and `deviation`. measured: what the study's first round measures
    of all hospitals' records, under encryption. range: the middle and a fourth of its range, which codes always have.
    """
    query: _QueryFile | None = None
    """Name of a file of SQL, each hospital's own and in its folder of records: what it returns is the table of a round.
    A hospital without such a file keeps a table."""

    @field_validator("columns")
    @classmethod
    def _names(cls, columns: Mapping[str, ColumnSchema]) -> Mapping[str, ColumnSchema]:
        if taken := OF_EVERY_RECORD & columns.keys():
            raise ValueError(f"{', '.join(sorted(taken))} is there by itself, and no input of the model")
        for name, column in columns.items():
            if column.days_since in columns.keys() | OF_EVERY_RECORD:
                raise ValueError(f"{name}: days_since names a column of dates that is no input")
        return columns

    def dataset(self, name: str) -> OwnTable:
        """The data set of that name."""
        awaits = self.scale == "measured"
        columns = tuple(spec.column(column, self.missing, awaits_scale=awaits) for column, spec in self.columns.items())
        return OwnTable(name, columns, self.classes, self.query, self.missing)

    def plain(self) -> dict[str, Any]:
        """As JSON takes it, with the order of the columns, which JSON's mappings have not."""
        return {**self.model_dump(mode="json"), "order": list(self.columns)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> TableSchema:
        """What `plain` described, numbers also as text.

        Raises ValidationError, KeyError, or another builtin for anything else.
        """
        columns = {name: _said(plain["columns"][name]) for name in plain["order"]}
        return cls.model_validate({**{name: plain[name] for name in plain.keys() - {"order"}}, "columns": columns})

    def scaled(self, constants: Mapping[str, tuple[float, float]]) -> TableSchema:
        """With mean and deviation of columns that were measured, as if they had been given."""
        given = {
            name: self.columns[name].model_copy(update={"mean": mean, "deviation": deviation})
            for name, (mean, deviation) in constants.items()
        }
        return self.model_copy(update={"columns": {**self.columns, **given}, "scale": "range"})


class WindowSchema(_Model):
    """`centre` and `width` of the values that are shown, from black to white, by the standard's `LINEAR`."""

    centre: CellNumber
    """In the values after the rescale: for CT, Hounsfield units."""
    width: Annotated[float, Field(ge=1, le=1e15)]
    """Of the same unit. Values beyond its ends are black and white."""


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
    window: WindowSchema | None = None
    """One window for all pictures, such as `{centre: -600, width: 1500}` for lungs in CT, in place of each file's own.
    They are then grey DICOM files, and others are refused."""

    mean: _Levels | None = None
    """Of each channel, in levels from 0 to 255: subtracted before the model sees a level."""
    deviation: _Levels | None = None
    """What a level is then divided by."""
    scale: Literal["measured", "levels"] = "measured"
    """What scales pictures without `mean` and `deviation`. measured: what the study's first round measures of all
    hospitals' pictures, under encryption. levels: 256 levels are a unit, and middle grey is zero."""

    @model_validator(mode="after")
    def _one_range(self) -> ImagesSchema:
        if self.window and (self.channels != 1 or self.bits):
            raise ValueError("window goes with grey DICOM files alone: leave out `bits` and `channels`")
        return self

    @model_validator(mode="after")
    def _of_each_channel(self) -> ImagesSchema:
        if (self.mean is None) != (self.deviation is None):
            raise ValueError(_TOGETHER)
        for levels in (self.mean, self.deviation):
            if levels is not None and len(levels) != self.channels:
                raise ValueError(f"one mean and one deviation of each channel, which are {self.channels}")
        if self.deviation is not None and min(self.deviation) <= 0:
            raise ValueError("a deviation above 0")
        return self

    def dataset(self, name: str) -> OwnImages:
        """The data set of that name."""
        window = Window(self.window.centre, self.window.width) if self.window else None
        constants = None if self.mean is None or self.deviation is None else (self.mean, self.deviation)
        awaits = self.scale == "measured" and constants is None
        return OwnImages(
            name, self.size, self.classes, self.channels, self.bits, window, constants, awaits_scale=awaits
        )

    def scaled(self, constants: Mapping[str, tuple[float, float]]) -> ImagesSchema:
        """With mean and deviation of the channels that were measured, as if they had been given."""
        means, deviations = zip(*constants.values(), strict=True)
        return self.model_copy(update={"mean": means, "deviation": deviations, "scale": "levels"})


class BackboneSchema(_Model):
    """A public network in a file of ONNX, whose features of the pictures are the model's inputs."""

    onnx: Annotated[str, StringConstraints(max_length=80, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.onnx$")]
    """Name of the file, which the service provider keeps beside this one and puts into the store."""
    sha256: Annotated[Sha256, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of the file, by which every member fetches it."""
    output: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")]
    """Name of the graph's output that holds the features, (batch, features)."""
    features: Annotated[int, Field(ge=1, le=1 << 16)]
    """How many features that output has: the inputs of the model's first layer."""
    mean: CellNumber = 0.0
    """Subtracted from each feature."""
    deviation: Annotated[float, Field(gt=0, le=1e15)] = 1.0
    """What it is then divided by. Features that differ in their scales are standardised in the file itself."""

    def dataset(self, pictures: OwnImages) -> Features:
        """The features of these pictures."""
        return Features(pictures, Backbone(self.sha256, self.output, self.features, self.mean, self.deviation))
