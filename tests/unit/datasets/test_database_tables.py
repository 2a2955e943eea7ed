"""Tables as databases and spreadsheets give them: each form is read right, or refused in a sentence with its row."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest

from pipeline.datasets.schema import TableSchema
from pipeline.errors import FileRejected
from tests.support.pictures import CANARY

SCHEMA = {
    "columns": {
        "age": [0, 120],
        "lactate": {"lowest": 0, "highest": 30, "mean": 2, "deviation": 1, "empty": "flagged", "missing": [99]},
        "smoker": {"codes": [0, 1], "empty": "mean"},
        "sex": {"categories": ["M", "F"], "empty": "mean"},
        "discharged": {"days_since": "admitted", "lowest": 0, "highest": 400},
    },
    "classes": ["0", "1"],
    "missing": ["NA", -9],
    "scale": "range",
}
TABLE = TableSchema.model_validate(SCHEMA).dataset("sepsis")

HEADER = "record_id,age,lactate,smoker,sex,admitted,discharged,label\n"
ROWS = (
    "p1,60,2.5,true,M,2026-01-01,2026-01-03,1\n"
    "p2,90,NA,false, F ,2026-02-27T06:00:00,2026-03-01T18:00:00,0\n"
    "p3,30,99,true,-9,2025-12-31,2026-01-01,0\n"
)
ENCODED = {
    # (age - 60) / 30, lactate - 2, (smoker - 0.5) * 4, M, F, (discharged - 200) / 100, lactate is empty; times 256
    "p1": [0, 128, 512, 256, 0, -507, 0],
    "p2": [256, 0, -512, 0, 256, -506, 256],
    "p3": [-256, 0, 512, 0, 0, -509, 256],
}


def times(*texts: str) -> pd.DatetimeIndex:
    return pd.to_datetime(list(texts), format="ISO8601")


def written(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    (folder / "records.csv").write_bytes(text.encode(encoding))
    return folder


def parquet(folder: Path, **columns: Any) -> Path:
    table = pyarrow.table(
        {
            "record_id": [1, 2, 3],
            "age": pyarrow.array([60, 90, 30], pyarrow.int16()),
            "lactate": pyarrow.array([Decimal("2.50"), None, Decimal("99.00")], pyarrow.decimal128(6, 2)),
            "smoker": [True, False, True],
            "sex": pyarrow.array(["M", "F", "-9"]).dictionary_encode(),
            "admitted": times("2026-01-01", "2026-02-27T06:00", "2025-12-31"),
            "discharged": times("2026-01-03", "2026-03-01T18:00", "2026-01-01"),
            "label": [1.0, 0.0, 0.0],
        }
        | columns
    )
    pyarrow.parquet.write_table(table, folder / "records.parquet")
    return folder


def encoded(folder: Path) -> list[list[int]]:
    frame = TABLE.frame(folder)
    assert set(frame.columns) == {"record_id", "split", *TABLE.bounds, *TABLE.categories, "label"}
    assert set(frame["label"]) == {"0", "1"}
    split = TABLE.read(folder)
    return sorted(np.concatenate([split.train.inputs, split.test.inputs]).tolist())


NO_PATIENT = (
    "records.csv has no column patient: nobody can know whether records of one patient are trained on and tested on,"
    " and the accuracy may be too good."
)
WANTED = sorted(ENCODED.values())


def test_words_booleans_dates_and_a_study_s_own_signs_of_an_empty_cell_are_read(tmp_path: Path) -> None:
    assert TABLE.shape == (7,)
    assert encoded(written(tmp_path, HEADER + ROWS)) == WANTED
    assert TABLE.notes(tmp_path) == [NO_PATIENT]


@pytest.mark.parametrize(
    ("text", "encoding", "says"),
    [
        (
            (HEADER + ROWS).replace(",", ";").replace("2.5", "2,5"),
            "utf-8",
            "records.csv is read with semicolons between the cells, a comma in decimal numbers.",
        ),
        ((HEADER + ROWS).replace(",", ";"), "utf-8-sig", "records.csv is read with semicolons between the cells."),
        ((HEADER + ROWS).replace(",", "\t"), "utf-8", "records.csv is read with tabs between the cells."),
        ((HEADER + ROWS).replace("p1", "pé"), "cp1252", "records.csv is read with letters in Windows-1252."),
        ((HEADER + ROWS).replace("\n", "\r\n"), "utf-8", None),
    ],
)
def test_what_parts_the_cells_is_found_by_the_first_row_and_said(
    text: str, encoding: str, says: str | None, tmp_path: Path
) -> None:
    assert encoded(written(tmp_path, text, encoding)) == WANTED
    assert TABLE.notes(tmp_path) == [*([says] if says else []), NO_PATIENT]


def test_commas_within_quotation_marks_part_no_names(tmp_path: Path) -> None:
    text = (HEADER + ROWS).replace(",", ";").replace("admitted", '"admitted, by, the, clock, of, the, ward, in, it"')
    with pytest.raises(FileRejected, match=r"records\.csv: got no column admitted; want it beside discharged"):
        TABLE.frame(written(tmp_path, text))


def test_types_of_a_database_are_read_from_parquet(tmp_path: Path) -> None:
    assert encoded(parquet(tmp_path)) == WANTED
    assert TABLE.frame(tmp_path)["record_id"].tolist() == ["1", "2", "3"]
    assert TABLE.notes(tmp_path) == [NO_PATIENT.replace("csv", "parquet")]


@pytest.mark.parametrize(
    "columns",
    [
        {"age": ["60", "90", "30"]},
        {"smoker": pyarrow.array([True, False, True]).cast(pyarrow.int8())},
        {"discharged": ["2026-01-03", "2026-03-01 18:00:00", "2026-01-01"]},
        {"sex": ["M   ", "F   ", None]},
        {"lactate": pyarrow.array([2.5, None, -9], pyarrow.float32())},
        {
            "admitted": times("2026-01-01", "2026-02-27T06:00", "2025-12-31").tz_localize("UTC"),
            "discharged": times("2026-01-03T01:00", "2026-03-01T19:00", "2026-01-01T01:00").tz_localize(
                "Europe/Berlin"
            ),
        },
    ],
    ids=["numbers as text", "booleans as numbers", "dates as text", "padded words", "float32", "time zones"],
)
def test_other_types_for_the_same_records_are_read_the_same(columns: dict[str, Any], tmp_path: Path) -> None:
    assert encoded(parquet(tmp_path, **columns)) == WANTED


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        (
            {"discharged": ["2026-01-03", "03.01.2026", CANARY]},
            r"records\.parquet: got no date in discharged of rows 2, 3; want one such as 2026-11-29",
        ),
        ({"admitted": [46000, 46001, 46002]}, r"got no date in admitted of rows 1, 2, 3; want"),
        (
            {"admitted": times("2026-01-01", "2026-02-27", "2025-12-31").tz_localize("UTC")},
            r"got times with and without a time zone in discharged and admitted, want one form",
        ),
    ],
)
def test_what_is_no_date_is_refused_with_its_rows(columns: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(FileRejected, match=says) as caught:
        TABLE.frame(parquet(tmp_path, **columns))
    assert CANARY not in str(caught.value)


def test_a_word_that_no_study_names_stays_a_word(tmp_path: Path) -> None:
    frame = TABLE.frame(written(tmp_path, HEADER + ROWS.replace("99", "null").replace("M", "W")))
    assert frame["lactate"].tolist() == ["2.5", np.nan, "null"]
    assert frame["sex"].dropna().tolist() == ["W", "F"]
    with pytest.raises(ValueError, match="a cell that is no value of its column"):
        TABLE.read(tmp_path)


@pytest.mark.parametrize("cell", ["inf", "nan", "0x10", "1_000", "1 000", "1,000"])
def test_what_only_a_programmer_takes_for_a_number_is_none(cell: str, tmp_path: Path) -> None:
    frame = TABLE.frame(parquet(tmp_path, age=["60", cell, "30"]))
    assert cell == "inf" or frame["age"].tolist() == ["60", cell, "30"]


def test_rows_to_predict_are_read_like_records(tmp_path: Path) -> None:
    (tmp_path / "row.json").write_text(
        '[{"age": 60, "lactate": "2.5", "smoker": true, "sex": "M", "admitted": "2026-01-01", "discharged":'
        ' "2026-01-03"}, {"age": "NA", "sex": "W", "admitted": "2026-01-01", "discharged": "2026-01-03"}]'
    )
    asked = TABLE.questions(tmp_path / "row.json")
    assert TABLE.encode(asked.values[:1]).tolist() == [ENCODED["p1"]]
    assert asked.frame["sex"].tolist() == ["M", "W"]
    assert np.isnan(asked.values[1]).tolist() == [True, True, True, True, False]
    again = TABLE.questions(written(tmp_path, HEADER + ROWS) / "records.csv")
    assert TABLE.encode(again.values).tolist() == [ENCODED[name] for name in again.ids]


def test_what_is_dealt_out_is_read_back(tmp_path: Path) -> None:
    (tmp_path / "sepsis").mkdir()
    written(tmp_path / "sepsis", HEADER + ROWS)
    train, test = TABLE.load([tmp_path])
    TABLE.write(tmp_path / "aster", train, test)
    assert encoded(tmp_path / "aster") == WANTED


@pytest.mark.parametrize(
    ("column", "says"),
    [
        ({"categories": ["M"]}, "two categories or more, each once"),
        ({"categories": ["M", "M"]}, "two categories or more, each once"),
        ({"categories": [False, True]}, "write yes, no, true and false in quotes"),
        ({"categories": []}, "categories takes a list of words"),
        ({"categories": ["M", "F"], "lowest": 0}, "categories without lowest"),
        ({"days_since": "age", "lowest": 0, "highest": 9}, "days_since names a column of dates that is no input"),
        ({"days_since": "label", "lowest": 0, "highest": 9}, "days_since names a column of dates that is no input"),
        ({"lowest": 0, "highest": 9, "missing": [None]}, "valid string"),
    ],
)
def test_a_wrong_description_of_a_column_is_refused_with_what_is_allowed(column: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        TableSchema.model_validate({"columns": {"age": [0, 120], "x": column}, "classes": ["a", "b"]})
