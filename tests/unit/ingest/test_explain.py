"""What a hospital is told about its own records, in sentences, on its own machine."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner, Result

from pipeline.cli import commands
from pipeline.datasets.schema import TableSchema
from pipeline.errors import DataRejected
from pipeline.ingest import kept_scale
from pipeline.ingest.explain import cell_failures, inspect
from pipeline.model_file import Scale
from pipeline.study.study import Study
from tests.support.backbones import lines
from tests.support.pictures import CANARY, png

STUDY: dict[str, Any] = {
    "title": "Sepsis",
    "table": {
        "columns": {
            "age": [0, 120],
            "lactate": {"lowest": 0, "highest": 30, "empty": "flagged"},
            "sex": {"codes": [0, 1]},
        },
        "classes": ["recovered", "septic"],
    },
    "model": [{"Linear": {"out_features": 2}}],
    "hospitals": ["aster", "birch", "cedar"],
    "nodes": ["north", "east", "west"],
    "engine": "spu",
    "protocol": "aby3",
}


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.setenv("WARDROUND_STUDIES", str(tmp_path / "studies"))
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "sepsis.yaml").write_text(yaml.safe_dump(STUDY))
    return Study.load(tmp_path / "studies" / "sepsis.yaml")


def rows(count: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "record_id": [f"p{row}" for row in range(count)],
            "split": ["test" if row % 4 == 0 else "train" for row in range(count)],
            "age": rng.integers(20, 90, count),
            "lactate": rng.uniform(0, 9, count).round(1),
            "sex": rng.integers(0, 2, count),
            "label": ["septic" if row % 3 == 0 else "recovered" for row in range(count)],
        }
    ).astype(object)


def wardround(*arguments: str) -> Result:
    return CliRunner().invoke(commands, arguments)


def test_every_kind_of_failure_is_one_sentence_with_its_rows_and_what_is_allowed(
    study: Study, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frame = rows()
    frame.loc[0, "age"] = CANARY
    frame.loc[1, "age"] = 4711
    frame.loc[2, "age"] = None
    frame.loc[3, "sex"] = 2
    frame.loc[[4, 5], "record_id"] = "p4"
    frame.loc[range(6, 13), "label"] = CANARY
    frame.loc[13, "split"] = CANARY
    frame.loc[14, "lactate"] = "2,5"
    frame.assign(name=CANARY).to_csv(tmp_path / "records.csv", index=False)
    with caplog.at_level(logging.DEBUG):
        found = inspect(tmp_path, study)
    assert not found.passed
    assert set(found.failures.values()) == {
        "Column 7 is none of the study's: remove it.",
        "record_id is the same in rows 6, 7 of records.csv; every record needs one of its own.",
        "split is none of train, test in row 15 of records.csv; another coding or spelling?",
        (
            "label is none of recovered, septic in rows 8, 9, 10, 11, 12 and 2 more of records.csv; another coding or"
            " spelling?"
        ),
        "age holds no number in row 2 of records.csv; a word, a unit or a decimal comma? Leave unknown cells empty.",
        "age has an empty cell in row 4 of records.csv; every record needs a value there.",
        "age lies outside 0 to 120 in row 3 of records.csv; another unit, or a typing error?",
        (
            "lactate holds no number in row 16 of records.csv; a word, a unit or a decimal comma? Leave unknown cells"
            " empty."
        ),
        "lactate can be compared with 0 to 30 once every cell holds a number.",
        "sex is none of 0, 1 in row 5 of records.csv; another coding or spelling?",
    }
    assert CANARY not in caplog.text


def test_words_and_dates_are_explained_and_how_a_file_is_read_is_said(tmp_path: Path) -> None:
    table = {
        "columns": {"age": [0, 120], "sex": {"categories": ["M", "F"], "empty": "mean"}, "seen": [0, 1]},
        "classes": ["recovered", "septic"],
        "scale": "range",
    }
    (tmp_path / "wards.yaml").write_text(
        yaml.safe_dump(STUDY | {"table": table, "data_contract": {"min_per_class": 1}})
    )
    study = Study.load(tmp_path / "wards.yaml")
    frame = rows(40).drop(columns="lactate")
    frame["sex"] = ["W" if row == 7 else "MF"[row % 2] for row in range(40)]
    frame["seen"] = pd.Timestamp("2026-11-29")
    frame.astype({"age": int, "seen": "datetime64[us]"}).to_parquet(tmp_path / "records.parquet")
    assert set(inspect(tmp_path / "records.parquet", study).failures.values()) == {
        "sex is none of M, F in row 8 of records.parquet; another coding or spelling?",
        (
            "seen holds dates, and the study wants numbers; days since another column are such, which its line"
            " `days_since` names."
        ),
        "seen can be compared with 0 to 1 once every cell holds a number.",
    }
    halves = [row % 3 / 2 for row in range(40)]
    frame.assign(seen=halves, sex=None, patient=1).drop(columns="split").to_csv(tmp_path / "records.csv", index=False)
    assert set(inspect(tmp_path / "records.csv", study).notes) == {
        "No record has sex: allowed, and the model is told so."
    }
    frame.assign(seen=halves, sex=None).to_csv(tmp_path / "records.csv", index=False, sep=";", decimal=",")
    found = inspect(tmp_path / "records.csv", study)
    assert found.failures == {}
    assert found.notes == (
        "records.csv is read with semicolons between the cells, a comma in decimal numbers.",
        (
            "records.csv has no column patient: nobody can know whether records of one patient are trained on and"
            " tested on, and the accuracy may be too good."
        ),
        "No record has sex: allowed, and the model is told so.",
    )


def test_a_missing_column_and_too_few_records_are_said(study: Study, tmp_path: Path) -> None:
    frame = rows()
    kept = frame[(frame["label"] == "recovered") | (frame["split"] == "test")].drop(columns="sex")
    kept.to_csv(tmp_path / "records.csv", index=False)
    sentences = set(inspect(tmp_path, study).failures.values())
    assert "There is no column sex." in sentences
    assert "“sex has no empty cell” could not be checked, since there is no column sex." in sentences
    assert (
        "“train has at least 10 records of septic”: there are 0; the hospital can take part once it has enough."
        in sentences
    )


def test_the_command_says_that_good_records_would_pass_and_what_is_worth_knowing(study: Study, tmp_path: Path) -> None:
    frame = rows(400)
    frame["label"] = ["septic" if row % 40 < 2 else "recovered" for row in range(400)]
    frame["lactate"] = None
    frame.to_csv(tmp_path / "records.csv", index=False)
    done = wardround("data", "check", str(tmp_path), "--study", "sepsis")
    assert done.exit_code == 0, done.output
    assert "400 records would pass: 19 of 19 expectations of sepsis hold." in done.stdout
    assert "97% of the training records are recovered: honest data, and allowed" in done.stdout
    assert "No record has lactate: allowed, and the model is told so." in done.stdout
    found = json.loads(wardround("data", "check", str(tmp_path / "records.csv"), "--study", "sepsis", "--json").stdout)
    assert (found["passed"], found["rows"], found["failures"]) == (True, 400, {})


def test_the_command_fails_on_bad_records_and_never_prints_a_value(study: Study, tmp_path: Path) -> None:
    frame = rows()
    frame.loc[0, "age"] = CANARY
    frame.to_csv(tmp_path / "records.csv", index=False)
    done = wardround("data", "check", str(tmp_path), "--study", "sepsis")
    assert done.exit_code == 1
    assert "age holds no number in row 2 of records.csv" in done.stdout
    assert CANARY not in done.output


def test_an_unreadable_file_is_one_message(study: Study, tmp_path: Path) -> None:
    (tmp_path / "records.csv").write_text(f"record_id,age\np1,{CANARY},7\np2,5\n")
    with pytest.raises(DataRejected, match=r"records are readable: records\.csv") as caught:
        inspect(tmp_path, study)
    assert CANARY not in str(caught.value)


def test_pictures_are_checked_for_size_colour_and_contrast_and_unlabelled_ones_are_counted(tmp_path: Path) -> None:
    images = {
        "images": {"size": [8, 8], "classes": ["normal", "pneumonia"], "scale": "levels"},
        "model": [{"Flatten": {}}, {"Linear": {"out_features": 2}}],
    }
    (tmp_path / "lungs.yaml").write_text(
        yaml.safe_dump({key: value for key, value in STUDY.items() if key != "table"} | images)
    )
    folder = tmp_path / "lungs"
    folder.mkdir()
    rng = np.random.default_rng(1)
    names = [png(folder / f"{place}.png", rng.integers(0, 255, (9, 9), dtype=np.uint8)).name for place in range(4)]
    png(folder / "0.png", rng.integers(0, 255, (6, 9), dtype=np.uint8))
    png(folder / "1.png", np.full((9, 9), 40, np.uint8))
    png(folder / "2.png", np.eye(9, dtype=np.uint8) * 200, "RGB")
    png(folder / "later.png", np.eye(9, dtype=np.uint8))
    pd.DataFrame({"file": names, "label": "normal"}).to_csv(folder / "labels.csv", index=False)
    found = inspect(folder, Study.load(tmp_path / "lungs.yaml"))
    sentences = set(found.failures.values())
    assert "height lies outside 8 to 16384 in row 2 of labels.csv; another unit, or a typing error?" in sentences
    assert "contrast lies outside 1 to 255 in row 3 of labels.csv; another unit, or a typing error?" in sentences
    assert not any("row 4" in sentence for sentence in sentences)  # grey in three equal channels
    assert found.notes == (
        (
            "labels.csv has no column patient and not every picture is a DICOM file that names its own patient: nobody"
            " can know whether records of one patient are trained on and tested on, and the accuracy may be too good."
        ),
        "1 files have no label yet and take no part.",
    )
    png(folder / "2.png", rng.integers(0, 255, (9, 9, 3), dtype=np.uint8))
    with pytest.raises(DataRejected, match=r"labels\.csv: the file of row 4 is in colour, and the study takes grey"):
        inspect(folder, Study.load(tmp_path / "lungs.yaml"))


def scaled(folder: Path, lactate: dict[str, Any], values: Any) -> list[str]:
    """What is said of the scale of a column."""
    table = {"columns": {"age": [0, 120], "lactate": lactate}, "classes": ["recovered", "septic"], "scale": "range"}
    (folder / "scaled.yaml").write_text(yaml.safe_dump(STUDY | {"table": table}))
    frame = rows(len(values)).drop(columns="sex").assign(lactate=values)
    frame.to_csv(folder / "records.csv", index=False)
    notes = inspect(folder / "records.csv", Study.load(folder / "scaled.yaml")).notes
    return [note for note in notes if note.startswith("lactate")]


_WIDE = {"lowest": 0, "highest": 1000}
_LACTATE = np.linspace(2.01 - 1.43, 2.01 + 1.43, 200)  # with a deviation of 0.83


@pytest.mark.parametrize(
    ("lactate", "values", "says"),
    [
        (_WIDE | {"mean": 2, "deviation": 20}, _LACTATE, "varies by less than a tenth of a unit on the study's scale"),
        (_WIDE | {"mean": 2, "deviation": 0.01}, _LACTATE, "varies by more than ten units on the study's scale"),
        (_WIDE | {"mean": 10, "deviation": 4}, _LACTATE, "varies by less than a fifth of its distance from the study"),
    ],
)
def test_an_input_off_the_scale_is_named_with_rough_figures_and_constants_that_fit(
    lactate: dict[str, Any], values: Any, says: str, tmp_path: Path
) -> None:
    (note,) = scaled(tmp_path, lactate, values)
    assert note.startswith(f"lactate {says}")
    assert "Here it is about 2 with a deviation of about 0.8" in note
    fits = re.search(r"`(mean: .*, deviation: .*)` in the study would fit", note)
    assert fits
    assert scaled(tmp_path, _WIDE | yaml.safe_load(f"{{{fits[1]}}}"), values) == []


def test_of_few_values_and_of_one_value_no_figure_is_said(tmp_path: Path) -> None:
    optional = {"lowest": 0, "highest": 1000, "empty": "mean"}
    few = [1.5 if row < 9 else None for row in range(60)]
    assert scaled(tmp_path, optional, few) == []
    same = scaled(tmp_path, optional, [4.711] * 60)
    assert same == ["lactate is the same in all records: no model learns from it here."]
    # A value beyond the range is for the contract to refuse.
    assert "about 2 with" in scaled(tmp_path, optional, [*_LACTATE, 4711])[0]
    coded = {"codes": [0, 1], "mean": 0, "deviation": 1}
    assert scaled(tmp_path, coded, [int(row == 0) for row in range(400)]) == []


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_that_use_few_levels_are_said_by_their_channel(channels: int, tmp_path: Path) -> None:
    images = {
        "images": {"size": [8, 8], "classes": ["normal", "pneumonia"], "channels": channels, "scale": "levels"},
        "model": [{"Flatten": {}}, {"Linear": {"out_features": 2}}],
    }
    (tmp_path / "lungs.yaml").write_text(
        yaml.safe_dump({key: value for key, value in STUDY.items() if key != "table"} | images)
    )
    folder = tmp_path / "lungs"
    folder.mkdir()
    rng = np.random.default_rng(1)
    names = []
    for number in range(12):
        dark = rng.normal(60, 12, (8, 8)).clip(0, 255).astype(np.uint8)
        wide = rng.integers(0, 256, (8, 8)).astype(np.uint8)
        pixels = dark if channels == 1 else np.stack([wide, dark, wide], axis=-1)
        names.append(png(folder / f"{number}.png", pixels).name)
    pd.DataFrame({"file": names, "label": "normal"}).to_csv(folder / "labels.csv", index=False)
    (note,) = [note for note in inspect(folder, Study.load(tmp_path / "lungs.yaml")).notes if "hard to learn" in note]
    name = "grey" if channels == 1 else "green"
    assert note.startswith(
        f"{name} varies by less than a tenth of a unit on the study's scale, and is hard to learn from. Here it is"
        " about 60"
    )
    assert "of 255 with a deviation of about 10" in note


def test_pictures_that_a_backbone_does_not_know_are_said_by_their_channel(tmp_path: Path) -> None:
    images = {"size": [8, 8], "classes": ["normal", "pneumonia"], "mean": [120], "deviation": [250]}
    content = {key: value for key, value in STUDY.items() if key != "table"}
    content |= {"images": images, "backbone": lines(b"not needed for this")}
    (tmp_path / "lungs.yaml").write_text(yaml.safe_dump(content))
    folder = tmp_path / "lungs"
    folder.mkdir()
    rng = np.random.default_rng(1)
    dark = [rng.normal(60, 12, (8, 8)).clip(0, 255).astype(np.uint8) for _ in range(12)]
    names = [png(folder / f"{number}.png", pixels).name for number, pixels in enumerate(dark)]
    pd.DataFrame({"file": names, "label": "normal"}).to_csv(folder / "labels.csv", index=False)
    (note,) = [note for note in inspect(folder, Study.load(tmp_path / "lungs.yaml")).notes if "hard to learn" in note]
    assert note.startswith("grey varies by less than a tenth of a unit on the study's scale")
    assert "the study's backbone was trained on pictures of other levels" in note


def test_what_is_to_be_measured_is_said_and_then_held_against_what_was_measured(tmp_path: Path) -> None:
    table = {"columns": {"age": [0, 120], "lactate": [0, 1000], "sex": {"codes": [0, 1]}}, "classes": ["a", "b"]}
    (tmp_path / "sepsis.yaml").write_text(yaml.safe_dump(STUDY | {"table": table}))
    study = Study.load(tmp_path / "sepsis.yaml")
    rows(200).assign(lactate=_LACTATE, age=50).to_csv(tmp_path / "records.csv", index=False)
    before = inspect(tmp_path / "records.csv", study).notes
    assert any("first round measures mean and deviation of age, lactate over all hospitals'" in note for note in before)
    assert "age is the same in all records: no model learns from it here." in before
    assert not any(note.startswith("lactate") for note in before)
    for home, mean in (("aster", 2.0), ("birch", 20.0)):
        kept_scale.keep(tmp_path / home, study, Scale((50.0, mean), (10.0, 1.0)))
    fitting, other = (
        inspect(tmp_path / "records.csv", study, kept_scale.kept([tmp_path / "none", tmp_path / home], study)).notes
        for home in ("aster", "birch")
    )
    assert not any("first round" in note or note.startswith("lactate") for note in fitting)
    (note,) = [note for note in other if note.startswith("lactate")]
    assert note == (
        "lactate varies by less than a fifth of its distance from the study's mean, and is hard to learn from. Here it"
        " is about 2 with a deviation of about 0.8; over all hospitals it is 20 with a deviation of 1: another unit, or"
        " other patients?"
    )


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b'{"inputs": 1}', b'{"inputs": [["age", 0.0, 120.0]], "means": [null]}']
)
def test_a_kept_scale_that_is_damaged_or_of_other_inputs_is_none(damage: bytes, tmp_path: Path) -> None:
    study = STUDY | {"table": {"columns": {"age": [0, 120]}, "classes": ["a", "b"]}}
    (tmp_path / "sepsis.yaml").write_text(yaml.safe_dump(study))
    read = Study.load(tmp_path / "sepsis.yaml")
    kept_scale.keep(tmp_path, read, Scale((50.0,), (10.0,)))
    assert kept_scale.kept([tmp_path], read) == Scale((50.0,), (10.0,))
    (tmp_path / "scales" / "sepsis.json").write_bytes(damage)
    assert kept_scale.kept([tmp_path], read) is None
    kept_scale.keep(tmp_path, read, Scale((50.0,), (10.0,)))
    study["table"]["columns"]["age"] = [0, 130]
    (tmp_path / "sepsis.yaml").write_text(yaml.safe_dump(study))
    assert kept_scale.kept([tmp_path], Study.load(tmp_path / "sepsis.yaml")) is None


def test_rows_to_predict_keep_the_contract_of_their_cells_alone() -> None:
    table = TableSchema.model_validate(STUDY["table"]).dataset("sepsis")
    frame = pd.DataFrame({"age": [60.0, 200.0], "lactate": [None, 2.0], "sex": [0.0, 1.0]}, index=[1, 2]).rename_axis(
        index="row of x.json"
    )
    assert dict(cell_failures(frame, table)) == {
        "age is within 0 to 120": "age lies outside 0 to 120 in row 2 of x.json; another unit, or a typing error?"
    }
