"""Data of the hospitals' own: what a study's file says about them, how they are read, and what is said of bad files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.datasets.own_images import LABELS, OwnImages
from pipeline.datasets.own_table import OwnTable
from pipeline.datasets.records import shielded
from pipeline.datasets.schema import ImagesSchema, TableSchema
from pipeline.errors import DataRejected, FileRejected, Misconfigured
from tests.support.pictures import CANARY, dicom, png

SCHEMA = TableSchema.model_validate(
    {
        "columns": {
            "age": [0, 120],
            "lactate": {"lowest": 0, "highest": 30, "mean": 2, "deviation": 1, "empty": "flagged"},
            "sex": {"codes": [0, 1], "empty": "mean"},
        },
        "classes": ["recovered", "septic"],
        "scale": "range",
    }
)
TABLE = SCHEMA.dataset("sepsis")
IMAGES = ImagesSchema(size=(8, 8), classes=("normal", "pneumonia"), scale="levels").dataset("lungs")

ROWS = pd.DataFrame(
    {
        "record_id": ["p1", "p2", "p3", "p4"],
        "age": [60, 90, 30, 120],
        "lactate": [2.0, 3.5, None, 40.0],
        "sex": [0, 1, None, 1],
        "label": ["septic", "recovered", "septic", "recovered"],
    }
)


def kept(folder: Path, frame: pd.DataFrame = ROWS, kind: str = "csv") -> Path:
    if kind == "csv":
        frame.to_csv(folder / "records.csv", index=False)
    else:
        frame.to_parquet(folder / "records.parquet")
    return folder


def test_a_range_implies_mean_and_deviation_and_codes_imply_the_range() -> None:
    age, lactate, sex = TABLE.columns
    assert (age.mean, age.deviation, age.empty) == (60, 30, "refused")
    assert (lactate.mean, lactate.deviation) == (2, 1)
    assert (sex.lowest, sex.highest, sex.codes) == (0, 1, (0, 1))
    assert TABLE.shape == (4,)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_is_read_the_same_from_csv_and_from_parquet(kind: str, tmp_path: Path) -> None:
    frame = TABLE.frame(kept(tmp_path, kind=kind))
    assert frame.index.tolist() == ([2, 3, 4, 5] if kind == "csv" else [1, 2, 3, 4])
    assert [str(frame[column].dtype) for column in TABLE.bounds] == ["float64"] * 3
    split = TABLE.read(tmp_path)
    inputs = np.concatenate([split.train.inputs, split.test.inputs])
    assert sorted(inputs.tolist()) == sorted(
        [[0, 0, -512, 0], [256, 384, 512, 0], [-256, 0, 0, 256], [512, 1024, 512, 0]]
    )
    assert len(split.train) + len(split.test) == 4


def test_without_a_column_split_a_record_stays_in_its_part_when_others_come(tmp_path: Path) -> None:
    rows = pd.DataFrame(
        {"record_id": [f"p{row}" for row in range(400)], "age": 50, "lactate": 2, "sex": 1, "label": "septic"}
    )
    before = TABLE.frame(kept(tmp_path, rows)).set_index("record_id")["split"]
    after = TABLE.frame(kept(tmp_path, pd.concat([rows.iloc[::-1], rows.assign(record_id=rows["record_id"] + "x")])))
    pd.testing.assert_series_equal(after.set_index("record_id")["split"].reindex(before.index), before)
    assert 60 < (before == "test").sum() < 140


def test_the_hospital_s_own_split_is_kept(tmp_path: Path) -> None:
    frame = TABLE.frame(kept(tmp_path, ROWS.assign(split=["test", "train", "train", "train"])))
    assert frame["split"].tolist() == ["test", "train", "train", "train"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", r"records\.csv: got an empty file, want a first row of column names"),
        (
            b"record_id,age,label\np1,60,septic\np2,CANARY-4711,7,septic\n",
            r"records\.csv, row 3: got 4 cells, want 3, as the first row",
        ),
        (b"record_id,age,label\np1,60,septic,CANARY-4711\n", r"records\.csv.*got (4|more) cells"),
        (b'record_id,age\np1,"CANARY-4711', r"records\.csv: got an unclosed quotation mark"),
        (
            b"record_id,age\np1,60\np2,CANARY-4711\x81\n",
            r"records\.csv, row 3: got letters that are neither UTF-8 nor Windows-1252; save it",
        ),
        ("record_id,age\np1,CANARY-4711\n".encode("utf-16"), r"records\.csv: got UTF-16, .*save it as CSV in UTF-8"),
        (
            b"record_id;age;label\np1;4711,5;septic\np2;4711.5;CANARY-4711\n",
            r"records\.csv: got a decimal comma in row 2 and a point in row 3; want one of them",
        ),
    ],
)
def test_a_bad_csv_file_is_named_with_its_row_and_what_is_wanted_and_never_quoted(
    content: bytes, says: str, tmp_path: Path
) -> None:
    (tmp_path / "records.csv").write_bytes(content)
    with pytest.raises(FileRejected, match=says) as caught:
        TABLE.frame(tmp_path)
    assert CANARY not in str(caught.value)
    with pytest.raises(DataRejected, match=r"aster: .* contract: records are readable: records\.csv") as border:
        shielded("aster", "records are readable", lambda: TABLE.frame(tmp_path))
    assert border.value.__context__ is None


def test_no_table_two_tables_and_a_file_that_is_no_parquet_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileRejected, match="got neither of"):
        TABLE.frame(tmp_path)
    (tmp_path / "records.parquet").write_text(CANARY)
    with pytest.raises(FileRejected, match="cannot be read as Parquet") as caught:
        TABLE.frame(tmp_path)
    assert CANARY not in str(caught.value)
    kept(tmp_path)
    with pytest.raises(FileRejected, match="got both of"):
        TABLE.frame(tmp_path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"columns": {"age": [120, 0]}}, "the lowest value lies below the highest"),
        ({"columns": {"age": [0, 1, 2]}}, r"a range takes \[lowest, highest\]"),
        ({"columns": {"age": 7}}, r"a column takes \[lowest, highest\] or a mapping"),
        ({"columns": {"label": [0, 1]}}, "label is there by itself"),
        ({"columns": {}}, "at least 1 item"),
        ({"columns": {"age": {"lowest": 0, "highest": 9, "deviation": 0}}}, "greater than 0"),
        ({"classes": ["one"]}, "at least 2 items"),
    ],
)
def test_a_wrong_description_is_refused_with_what_is_allowed(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        TableSchema.model_validate({"columns": {"age": [0, 120]}, "classes": ["a", "b"]} | changes)


def test_rows_to_predict_take_no_label_and_name_a_missing_column(tmp_path: Path) -> None:
    (tmp_path / "row.json").write_text('{"age": 60, "lactate": 2, "sex": 1}')
    found = TABLE.questions(tmp_path / "row.json")
    assert found.ids.tolist() == ["row 1"]
    assert TABLE.encode(found.values).tolist() == [[0, 0, 512, 0]]
    found = TABLE.questions(kept(tmp_path, ROWS.drop(columns=["label", "lactate"])) / "records.csv")
    assert found.ids.tolist() == ["p1", "p2", "p3", "p4"]
    assert TABLE.encode(found.values)[:, 3].tolist() == [256] * 4
    (tmp_path / "row.json").write_text('{"lactate": 4711}')
    with pytest.raises(FileRejected, match=r"row\.json: got no column age; want all 3 of sepsis"):
        TABLE.questions(tmp_path / "row.json")
    (tmp_path / "row.json").write_text("[1, 2")
    with pytest.raises(FileRejected, match=r"row\.json: got no JSON object"):
        TABLE.questions(tmp_path / "row.json")


def lungs(folder: Path, count: int = 6) -> Path:
    """PNG and DICOM files in turn, one in a folder of its own."""
    rng = np.random.default_rng(1)
    rows = []
    (folder / "monday").mkdir(parents=True)
    for place in range(count):
        pixels = rng.integers(0, 4096, (12, 10))
        name = f"monday/IM{place}" if place % 2 else f"{place}.png"
        if place % 2:
            dicom(folder / name, pixels.astype(np.uint16))
        else:
            png(folder / name, (pixels // 16).astype(np.uint8))
        rows.append({"file": name, "label": IMAGES.classes[place % 2]})
    pd.DataFrame(rows).to_csv(folder / LABELS, index=False)
    return folder


def test_a_folder_of_pictures_is_measured_and_fitted_to_the_model(tmp_path: Path) -> None:
    folder = lungs(tmp_path / "lungs")
    frame = IMAGES.frame(folder)
    assert set(frame.columns) == {"record_id", "split", *IMAGES.bounds, "label"}
    assert (frame[["height", "width"]] == [12, 10]).all().all()
    assert set(frame[list(IMAGES.bounds)].dtypes.astype(str)) == {"float64"}
    split = IMAGES.read(folder)
    assert (len(split.train) + len(split.test), split.train.inputs.shape[1:]) == (6, (1, 8, 8))
    assert split.train.inputs.min() >= -128
    png(folder / "not-yet.png", np.zeros((9, 9), np.uint8))
    assert IMAGES.unlisted(folder) == 1


COLOURED = ImagesSchema(size=(8, 8), classes=("normal", "pneumonia"), channels=3, scale="levels").dataset("lungs")


def listed(folder: Path, rows: list[tuple[str, str]], split: list[str] | None = None) -> Path:
    frame = pd.DataFrame(rows, columns=["file", "label"])
    (frame if split is None else frame.assign(split=split)).to_csv(folder / LABELS, index=False)
    return folder


def test_a_study_in_colour_takes_three_channels_and_grey_pictures_among_them(tmp_path: Path) -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    colours = np.stack([grey, 255 - grey, grey + 100], axis=-1)
    png(tmp_path / "a.png", colours)
    png(tmp_path / "b.png", grey)
    listed(tmp_path, [("a.png", "normal"), ("b.png", "pneumonia")], ["train", "test"])
    assert COLOURED.shape == (3, 8, 8)
    split = COLOURED.read(tmp_path)
    np.testing.assert_array_equal(split.train.inputs[0], np.moveaxis(colours.astype(np.int16), -1, 0) - 128)
    np.testing.assert_array_equal(split.test.inputs[0], np.repeat(grey[None].astype(np.int16) - 128, 3, axis=0))
    with pytest.raises(FileRejected, match=r"the file of row 2 is in colour, and the study takes grey pictures; want"):
        IMAGES.frame(tmp_path)
    with pytest.raises(FileRejected, match="picture 1 of 2 is in colour, and the study takes grey pictures"):
        IMAGES.questions(tmp_path)


def test_a_study_says_how_many_bits_of_sixteen_are_used_for_every_picture(tmp_path: Path) -> None:
    png(tmp_path / "a.png", np.arange(0, 4096, 64, dtype=np.uint16).reshape(8, 8))
    png(tmp_path / "b.png", np.arange(0, 2048, 32, dtype=np.uint16).reshape(8, 8))
    listed(tmp_path, [("a.png", "normal"), ("b.png", "pneumonia")], ["train", "train"])
    twelve = ImagesSchema(size=(8, 8), classes=("normal", "pneumonia"), bits=12, scale="levels").dataset("lungs")
    bright, dark = twelve.read(tmp_path).train.inputs
    assert (bright.max(), dark.max()) == (123, -2)  # 4032 and 2016 of 4095, about middle grey
    assert len(np.unique(bright)) == 64
    with pytest.raises(FileRejected, match="row 2 has grey values of 16 bits, and the study does not say how many"):
        IMAGES.frame(tmp_path)


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (8, 8)).astype(np.uint8)


@pytest.mark.parametrize("spelt", ["./x.png", "monday/../x.png", "link.png"])
def test_one_file_under_two_names_is_one_record(spelt: str, tmp_path: Path) -> None:
    png(tmp_path / "x.png", noise(1))
    (tmp_path / "monday").mkdir()
    (tmp_path / "link.png").symlink_to("x.png")
    listed(tmp_path, [("x.png", "normal"), (spelt, "normal")])
    assert IMAGES.frame(tmp_path)["record_id"].tolist() == ["x.png", "x.png"]  # which the contract refuses
    listed(tmp_path, [("x.png", "normal"), (spelt, "pneumonia")])
    with pytest.raises(
        FileRejected, match=r"labels\.csv: rows 2 and 3 show the same pixels under two labels; keep one"
    ):
        IMAGES.frame(tmp_path)


@pytest.mark.parametrize(
    ("labels", "split", "says"),
    [
        (
            ["normal", "pneumonia"],
            ["train", "train"],
            "rows 2 and 3 show the same pixels under two labels; keep one row",
        ),
        (
            ["normal", "normal"],
            ["train", "test"],
            "rows 2 and 3 show the same pixels in training and in test; keep one",
        ),
        (["normal", "normal"], ["train", "train"], None),
    ],
)
def test_equal_pixels_have_one_label_and_are_on_one_side_of_the_split(
    labels: list[str], split: list[str], says: str | None, tmp_path: Path
) -> None:
    """Whatever the files are: here one picture as PNG and as DICOM."""
    png(tmp_path / "a.png", noise(1))
    dicom(tmp_path / "IM1", noise(1).astype(np.uint16), WindowCenter=128, WindowWidth=256)
    listed(tmp_path, list(zip(["a.png", "IM1"], labels, strict=True)), split)
    if says is None:
        assert len(IMAGES.frame(tmp_path)) == 2
        return
    with pytest.raises(FileRejected, match=says):
        IMAGES.frame(tmp_path)


def test_a_study_s_window_holds_for_all_its_pictures_and_goes_with_grey_dicom_files_alone(tmp_path: Path) -> None:
    scans = ImagesSchema.model_validate(
        {
            "size": (8, 8),
            "classes": ("normal", "pneumonia"),
            "window": {"centre": 128, "width": 257},
            "scale": "levels",
        }
    ).dataset("scans")
    for number in range(2):
        other = {"WindowCenter": 40, "WindowWidth": 400} if number else {}
        dicom(tmp_path / f"IM{number}", noise(number).astype(np.uint16), **other)
    listed(tmp_path, [("IM0", "normal"), ("IM1", "pneumonia")])
    read = scans.read(tmp_path)
    inputs = np.concatenate([read.train.inputs, read.test.inputs])
    wanted = [np.rint((noise(number) + 0.5) / 256 * 255) - 128 for number in range(2)]
    assert sorted(inputs.reshape(2, -1).tolist()) == sorted(np.reshape(wanted, (2, -1)).astype(int).tolist())
    png(tmp_path / "a.png", noise(1))
    listed(tmp_path, [("IM0", "normal"), ("a.png", "pneumonia")])
    with pytest.raises(FileRejected, match=r"row 3 is a PNG file, .*; want one picture in grey in each file, as DICOM"):
        scans.frame(tmp_path)
    for field in ({"channels": 3}, {"bits": 12}):
        with pytest.raises(ValueError, match="window goes with grey DICOM files alone"):
            ImagesSchema.model_validate(
                {"size": (8, 8), "classes": ("a", "b"), "window": {"centre": 0, "width": 1}, **field}
            )


def spoil_file(folder: Path) -> None:
    (folder / "0.png").write_bytes(CANARY.encode())


def lose_file(folder: Path) -> None:
    (folder / "monday" / "IM1").unlink()


def point_outside(folder: Path) -> None:
    png(folder.parent / f"{CANARY}.png", np.zeros((9, 9), np.uint8))
    (folder / LABELS).write_text((folder / LABELS).read_text().replace("2.png", f"../{CANARY}.png"))


def lose_everything(folder: Path) -> None:
    for place in (0, 2, 4):
        (folder / f"{place}.png").unlink()
    for place in (1, 3):
        (folder / "monday" / f"IM{place}").unlink()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (
            spoil_file,
            r"labels\.csv: the file of row 2 is no PNG, JPEG, TIFF, BMP, WebP or DICOM file; want one picture in grey"
            r" in each file, as PNG, JPEG, TIFF, BMP, WebP or DICOM",
        ),
        (lose_file, r"labels\.csv: the file of row 3 is not there"),
        (point_outside, r"labels\.csv: the file of row 4 lies outside the folder"),
        (
            lose_everything,
            r"the file of row 2 is not there; that of row 3 is not there; that of row 4 is not there, and 2 more rows;",
        ),
        (
            lambda folder: (folder / LABELS).write_text("picture,label\n0.png,normal\n"),
            r"labels\.csv: got no column file or none named label",
        ),
        (lambda folder: (folder / LABELS).unlink(), r"lungs: got no labels\.csv"),
    ],
)
def test_bad_pictures_are_told_by_their_row_and_never_by_their_name(
    spoil: Callable[[Path], object], says: str, tmp_path: Path
) -> None:
    folder = lungs(tmp_path / "lungs")
    spoil(folder)
    with pytest.raises(FileRejected, match=says) as caught:
        IMAGES.frame(folder)
    assert CANARY not in str(caught.value)


def test_own_data_are_dealt_out_for_a_demonstration_from_a_folder_of_their_name(tmp_path: Path) -> None:
    lungs(tmp_path / "lungs")
    train, test = IMAGES.load([tmp_path / "elsewhere", tmp_path])
    IMAGES.write(tmp_path / "aster", train, test)
    again = IMAGES.read(tmp_path / "aster")
    np.testing.assert_array_equal(again.train.inputs, IMAGES.encode(train.values))
    (tmp_path / "sepsis").mkdir()
    kept(tmp_path / "sepsis")
    train, test = TABLE.load([tmp_path])
    TABLE.write(tmp_path / "birch", train, test)
    np.testing.assert_array_equal(TABLE.read(tmp_path / "birch").train.inputs, TABLE.encode(train.values))
    for dataset in (IMAGES, TABLE):
        assert isinstance(dataset, OwnImages | OwnTable)
        with pytest.raises(
            Misconfigured, match=rf"a hospital keeps its own in data/records/{dataset.name} of its folder"
        ):
            dataset.load([tmp_path / "elsewhere"])


def test_pictures_of_one_name_in_two_folders_are_dealt_out_as_two(tmp_path: Path) -> None:
    folder = tmp_path / "lungs"
    for patient, seed in (("pat1", 1), ("pat2", 2)):
        (folder / patient).mkdir(parents=True)
        grey = noise(seed)
        png(folder / patient / "v0.png", np.stack([grey, 255 - grey, grey // 2], axis=-1))
    listed(folder, [("pat1/v0.png", "normal"), ("pat2/v0.png", "pneumonia")], ["train", "train"])
    train, test = COLOURED.load([tmp_path])
    COLOURED.write(tmp_path / "aster", train, test)
    again = COLOURED.read(tmp_path / "aster").train
    np.testing.assert_array_equal(again.inputs, COLOURED.encode(train.values))
    assert again.labels.tolist() == [0, 1]


def test_a_picture_or_a_folder_of_them_is_read_to_be_predicted(tmp_path: Path) -> None:
    folder = lungs(tmp_path / "lungs")
    batch = IMAGES.questions(folder)
    assert batch.ids.tolist() == ["0.png", "2.png", "4.png", "monday/IM1", "monday/IM3", "monday/IM5"]
    assert IMAGES.encode(batch.values).shape == (6, 1, 8, 8)
    assert IMAGES.questions(folder / "0.png").ids.tolist() == ["0.png"]
    (folder / "letter.txt").write_text(CANARY)
    with pytest.raises(FileRejected, match="picture 4 of 7 is no PNG, JPEG, TIFF, BMP, WebP or DICOM file; want one"):
        IMAGES.questions(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileRejected, match="empty: got a folder without pictures; want one picture in grey in each"):
        IMAGES.questions(tmp_path / "empty")
