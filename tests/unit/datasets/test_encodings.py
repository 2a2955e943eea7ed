"""What an exported graph does to a record is what `encode` does, and what `preparation` says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from pipeline.datasets import DATASETS, Dataset
from pipeline.datasets.breast_cancer import BreastCancer
from pipeline.datasets.heart_disease import HeartDisease
from pipeline.datasets.own_images import OwnImages
from pipeline.datasets.own_table import OwnTable
from pipeline.datasets.schema import TableSchema
from pipeline.datasets.table import Column, Table
from pipeline.errors import Refused
from pipeline.site.settings import PROJECT

WORDS = Column("sex", 0, 1, 0, 1, categories=("f", "m"))
ALL_KINDS = (
    Column("age", 54.3, 9.7, 1, 110),
    WORDS,
    Column("chol", 245, 55, 40, 1000, empty="flagged"),
    Column("place", 0, 1, 0, 2, categories=("ward", "home", "other"), empty="flagged"),
    Column("pulse", 80.1, 12.3, 20, 300, empty="mean"),
    Column.coded("slope", 1.8, 0.6, (1, 2, 3), "mean"),
)


def encoded(dataset: Dataset, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    import torch

    with torch.inference_mode():
        inputs: npt.NDArray[np.float32] = dataset.torch()(torch.from_numpy(values)).numpy()
    return inputs


def rows(table: Table, count: int = 500) -> npt.NDArray[np.float64]:
    """Values within each column's range and at its ends, and empty cells where the table takes them."""
    rng = np.random.default_rng(7)
    columns = []
    for column in table.columns:
        whole = bool(column.codes or column.categories)
        values = rng.integers(int(column.lowest), int(column.highest) + 1, count) if whole else None
        numbers = rng.uniform(column.lowest, column.highest, count) if values is None else values.astype(np.float64)
        numbers[:2] = column.lowest, column.highest
        if column.empty != "refused":
            numbers[rng.random(count) < 0.2] = np.nan
        columns.append(numbers)
    return np.stack(columns, axis=1)


@pytest.mark.parametrize(
    "table", [BreastCancer(), HeartDisease(), OwnTable("own", ALL_KINDS, ("no", "yes"))], ids=lambda table: table.name
)
def test_a_tables_inputs_are_those_of_its_encoding_to_the_bit(table: Table) -> None:
    values = rows(table)
    inputs = encoded(table, values)
    assert inputs.dtype == np.float32
    np.testing.assert_array_equal(inputs, table.encode(values) / np.float32(256))


@pytest.mark.parametrize(
    "dataset",
    [
        DATASETS["pneumonia"],
        OwnImages("own", (4, 6), ("no", "yes"), 3, constants=((120.4, 99.9, 3.0), (40.1, 1.5, 70.0))),
    ],
    ids=["grey", "colour"],
)
def test_pictures_inputs_are_those_of_their_encoding_to_the_bit(dataset: Dataset) -> None:
    levels = np.arange(256, dtype=np.uint8)
    channels, height, width = dataset.shape
    pixels = np.broadcast_to(levels[:, None, None, None], (256, channels, height, width)).copy()
    np.testing.assert_array_equal(encoded(dataset, pixels), dataset.encode(pixels) / np.float32(256))


def test_before_constants_are_measured_there_is_no_graph() -> None:
    columns = {"age": {"lowest": 0, "highest": 120}, "pulse": {"lowest": 20, "highest": 300}}
    schema = TableSchema.model_validate({"columns": columns, "classes": ["no", "yes"], "scale": "measured"})
    with pytest.raises(Refused, match="got no mean and deviation of age yet"):
        schema.dataset("own").torch()


def test_who_follows_the_preparation_of_a_table_arrives_at_the_same_inputs() -> None:
    table = OwnTable("own", ALL_KINDS, ("no", "yes"))
    values = rows(table, 50)
    described = table.preparation
    lowest, highest = -4.0, 4.0
    assert any(f"clipped to {lowest:g} to {highest:g}" in line for line in described["inside"])
    for row, inputs in zip(values, encoded(table, values), strict=True):
        wanted: list[float] = []
        for column, value in zip(described["columns"], row, strict=True):
            if "categories" in column:
                wanted += [float(value == place) for place in range(len(column["categories"]))]
            else:
                score = 0 if np.isnan(value) else round((value - column["mean"]) / column["deviation"] * 256) / 256
                wanted.append(min(max(score, lowest), highest))
        flagged = [column["empty"] == "flagged" for column in described["columns"]]
        assert inputs.tolist() == [*wanted, *np.isnan(row[flagged]).astype(float)]


def test_who_follows_the_preparation_of_pictures_arrives_at_the_same_levels(tmp_path: Path) -> None:
    dataset = OwnImages("own", (8, 12), ("no", "yes"), 3)
    rng = np.random.default_rng(3)
    for height, width in ((8, 12), (31, 20), (25, 90), (100, 100)):
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(tmp_path / "one.png")
        image = Image.open(tmp_path / "one.png").convert("RGB")
        tall, wide = dataset.preparation["size"]
        part = min(width, height * wide // tall), min(height, width * tall // wide)
        left, top = (width - part[0]) // 2, (height - part[1]) // 2
        cut = image.crop((left, top, left + part[0], top + part[1]))
        levels = np.moveaxis(np.asarray(cut.resize((wide, tall), Image.Resampling.BOX)), -1, 0)
        np.testing.assert_array_equal(dataset.questions(tmp_path / "one.png").values[0], levels)


def test_whoever_reads_a_study_loads_no_torch() -> None:
    asked = "import sys, pipeline.study.study; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], cwd=PROJECT, check=False).returncode == 0
