"""What hospitals say of inputs that are to be measured, and the constants that come of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.datasets.images import LABELS
from pipeline.datasets.measured import MeasuredInput, constants, figures
from pipeline.datasets.schema import ImagesSchema, TableSchema
from pipeline.domain import COORDINATE_CAP
from pipeline.errors import Refused

_MOST = COORDINATE_CAP - 1
LACTATE = MeasuredInput("lactate", 0, 30)


def one_each(values: list[float]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(values), np.ones(len(values), np.int64)


def test_a_statement_fills_the_cap_and_reads_back() -> None:
    rng = np.random.default_rng(0)
    values = np.clip(rng.lognormal(0.7, 0.4, 500), 0, 30)
    said = figures([LACTATE], [one_each(values.tolist())])
    assert np.abs(said).max() <= _MOST
    ((mean,), (deviation,)) = constants([LACTATE], said * 3, 3)
    assert mean == pytest.approx(values.mean(), abs=30 / _MOST)
    assert deviation == pytest.approx(values.std(), abs=15 / _MOST)


@pytest.mark.parametrize(
    ("values", "said"),
    [([0.0, 30.0], [0, _MOST]), ([30.0], [_MOST, -_MOST]), ([0.0, 0.0], [-_MOST, -_MOST]), ([], [0, 0])],
    ids=["the largest deviation", "one value at the top", "all at the bottom", "no value"],
)
def test_ends_of_the_range(values: list[float], said: list[int]) -> None:
    assert figures([LACTATE], [one_each(values)]).tolist() == said


def test_a_deviation_of_nothing_becomes_a_fourth_of_the_range() -> None:
    assert constants([LACTATE], np.array([-3 * _MOST, -3 * _MOST]), 3) == ((0.0,), (7.5,))


def test_of_a_table_numbers_without_either_constant_are_measured_and_given_ones_stay() -> None:
    schema = TableSchema.model_validate(
        {
            "columns": {
                "free": [0, 10],
                "codes": {"codes": [0, 1]},
                "words": {"categories": ["M", "F"]},
                "given": {"lowest": 0, "highest": 8, "mean": 2, "deviation": 3},
            },
            "classes": ["no", "yes"],
        }
    )
    source = schema.dataset("clinic")
    assert source.measured == (MeasuredInput("free", 0, 10),)
    with pytest.raises(Refused, match="got no mean and deviation of free yet; the study's first round measures them"):
        source.encode(np.zeros((1, 5)))
    scaled = schema.scaled({"free": (4.0, 2.0)}).dataset("clinic")
    assert scaled.measured == ()
    assert [(column.mean, column.deviation) for column in scaled.columns if not column.categories] == [
        (4.0, 2.0),
        (0.5, 0.25),
        (2, 3),
    ]
    assert schema.model_copy(update={"scale": "range"}).dataset("clinic").measured == ()


def pictures(folder: Path) -> None:
    """Two red pictures to train on, at 100 and 200, and a black one to test."""
    folder.mkdir()
    rows = []
    for name, level, split in (("a.png", 100, "train"), ("b.png", 200, "train"), ("c.png", 0, "test")):
        pixels = np.zeros((4, 4, 3), np.uint8)
        pixels[..., 0] = level
        pixels[0, 0] = 9
        Image.fromarray(pixels).save(folder / name)
        rows.append({"file": name, "label": "no", "split": split})
    pd.DataFrame(rows).to_csv(folder / LABELS, index=False)


def test_of_pictures_each_channel_is_measured_over_the_training_pictures(tmp_path: Path) -> None:
    schema = ImagesSchema.model_validate({"size": [4, 4], "classes": ["no", "yes"], "channels": 3})
    source = schema.dataset("skin")
    assert [one.name for one in source.measured] == ["red", "green", "blue"]
    pictures(tmp_path / "skin")
    ((red, *_), (deviation, *_)) = constants(
        source.measured, figures(source.measured, source.statistics(tmp_path / "skin")), 1
    )
    levels = np.array([100.0] * 15 + [9] + [200.0] * 15 + [9])
    assert (red, deviation) == (pytest.approx(levels.mean(), abs=0.01), pytest.approx(levels.std(), abs=0.01))
    with pytest.raises(Refused, match="got no mean and deviation of red yet"):
        source.read(tmp_path / "skin")
    scaled = schema.scaled(dict.fromkeys(("red", "green", "blue"), (150.0, 50.0))).dataset("skin")
    split = scaled.read(tmp_path / "skin")
    assert split.train.inputs[:, 0, 1, 1].tolist() == [-256, 256]
    assert split.test.inputs[0, 0, 1, 1] == -768
    assert scaled.input_range == source.input_range == (-1024, 1024)


def test_constants_of_pictures_are_taken_as_given() -> None:
    given = {"size": [4, 4], "classes": ["no", "yes"], "mean": [100], "deviation": [50]}
    assert ImagesSchema.model_validate(given).dataset("skin").measured == ()


@pytest.mark.parametrize("half", [{"mean": 1}, {"deviation": 1}])
@pytest.mark.parametrize("scale", ["measured", "range"])
def test_half_a_column_s_constants_are_refused(half: dict[str, int], scale: str) -> None:
    columns = {"lactate": {"lowest": 0, "highest": 8} | half}
    with pytest.raises(ValueError, match="mean and deviation go together: give both, or neither"):
        TableSchema.model_validate({"columns": columns, "classes": ["no", "yes"], "scale": scale})


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"mean": [1]}, "mean and deviation go together"),
        ({"mean": [1, 2], "deviation": [1, 2]}, "one mean and one deviation of each channel, which are 1"),
        ({"mean": [1], "deviation": [0]}, "a deviation above 0"),
    ],
)
def test_constants_of_channels_that_do_not_fit_are_refused(fields: dict[str, list[int]], wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted):
        ImagesSchema.model_validate({"size": [4, 4], "classes": ["no", "yes"]} | fields)
