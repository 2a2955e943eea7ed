"""What a study's file may say about groups of patients, and how cells fall into them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline.datasets import grouping
from pipeline.datasets.records import records_folder
from pipeline.errors import InvalidStudy
from pipeline.ingest.explain import inspect
from pipeline.study.study import Study

AGES: dict[str, Any] = {"by": {"age": {}}}
COLUMNS = {"age": [0, 120], "sex": {"codes": [0, 1]}, "side": {"categories": ["left", "right"], "empty": "mean"}}


def loaded(folder: Path, **changes: Any) -> Study:
    content = {
        "title": "Groups",
        "table": {"columns": COLUMNS, "classes": ["well", "ill"]},
        "hospitals": ["aster", "birch", "cedar"],
        "nodes": ["north", "east", "west"],
        "engine": "spu",
        "protocol": "aby3",
        "model": [{"Linear": {"out_features": 2}}],
        "subgroups": {"by": {"sex": {}}},
    }
    (folder / "grouped.yaml").write_text(yaml.safe_dump(content | changes, sort_keys=False))
    return Study.load(folder / "grouped.yaml")


def test_columns_make_groups_in_the_order_of_their_names(tmp_path: Path) -> None:
    by = {
        "ward": {"categories": ["north", "south"]},
        "side": {},
        "sex": {"names": ["women", "men"]},
        "age": {"bands": [40, 65.5]},
    }
    study = loaded(tmp_path, subgroups={"by": by})
    assert {one.column: one.names for one in study.groupings} == {
        "age": ("below 40", "40 to below 65.5", "65.5 or more"),
        "sex": ("women", "men"),
        "side": ("left", "right", "not stated"),
        "ward": ("north", "south", "not stated"),
    }
    assert [one.column for one in study.groupings] == ["age", "sex", "side", "ward"]
    cells = {
        "age": pd.Series([39.9, 40, 65.4, 65.5, 120]),
        "sex": pd.Series([0, 1, 1]),
        "side": pd.Series(["right", None, "left"]),
        "ward": pd.Series(["south", np.nan, "north"]),
    }
    assert {one.column: one.of(cells[one.column]).tolist() for one in study.groupings} == {
        "age": [0, 1, 1, 2, 2],
        "sex": [0, 1, 1],
        "side": [1, 2, 0],
        "ward": [1, 2, 0],
    }


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"subgroups": {"by": {"age": {}}}}, r"bands of its numbers"),
        ({"subgroups": {"by": {"age": {"bands": [40, 130]}}}}, r"bands within 0 to 120"),
        ({"subgroups": {"by": {"age": {"bands": [65, 40]}}}}, r"bands rise"),
        ({"subgroups": {"by": {"sex": {"bands": [1]}}}}, r"no more than names"),
        ({"subgroups": {"by": {"sex": {"names": ["women", "men", "both"]}}}}, r"as many names as groups: 0, 1"),
        ({"subgroups": {"by": {"ward": {}}}}, r"bands of its numbers or categories of its words"),
        ({"subgroups": {"by": {"label": {}}}}, r"a column that says something of the patient"),
        ({"subgroups": {"by": {"ward": {"categories": ["north", "not stated"]}}}}, r"another word than not stated"),
        ({"subgroups": {"by": {"sex": {}}, "floor": 9}}, r"greater than or equal to 10"),
        (
            {"table": {"columns": {"age": {"codes": list(range(21))}}, "classes": ["well", "ill"]}, "subgroups": AGES},
            r"at most 20 groups, and it makes 21",
        ),
        ({"subgroups": {"by": {"war\nd": {"categories": ["a", "b"]}}}}, r"subgroups"),
        ({"subgroups": {"by": {"ward": {"categories": ["True", "False"]}}}}, r"1 and 0 in the place of true and false"),
        ({"subgroups": {"by": {"ward": {"categories": ["01", "02"]}}}}, r"with 1 in the place of 01"),
        ({"subgroups": {"by": {"ward": {"categories": ["north ", "south"]}}}}, r"without blanks around them"),
        ({"subgroups": {"by": {"bmi": {"bands": [0.3, 0.1 + 0.2]}}}}, r"differ in their first 15 digits"),
        ({"subgroups": {"by": {"bmi": {"bands": [25], "lowest": 10}}}}, r"lowest and highest go together"),
        ({"subgroups": {"by": {"bmi": {"bands": [25], "lowest": 30, "highest": 80}}}}, r"bands within 30 to 80"),
        (
            {"subgroups": {"by": {"age": {"bands": [40], "lowest": 0, "highest": 80}}}},
            r"no lowest and highest: it is an input",
        ),
        (
            {
                "table": {
                    "columns": {"stay": {"lowest": 0, "highest": 99, "days_since": "admitted"}},
                    "classes": ["well", "ill"],
                },
                "subgroups": {"by": {"admitted": {"bands": [20200101]}}},
            },
            r"days count from the dates of this one",
        ),
        (
            {
                "table": {"columns": COLUMNS, "classes": ["well", "ill"], "missing": ["NA"]},
                "subgroups": {"by": {"ward": {"categories": ["north", "NA"]}}},
            },
            r"categories without NA",
        ),
        ({"measures": "accuracy"}, r"`measures: confusion` or `scores`"),
        (
            {"dataset": "heart_disease", "table": None, "subgroups": {"by": {"ward": {"categories": ["a", "b"]}}}},
            r"a column of heart_disease: age",
        ),
    ],
)
def test_what_makes_no_groups_is_refused(tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidStudy, match=problem):
        loaded(tmp_path, **changes)


def test_the_terms_give_the_same_groups(tmp_path: Path) -> None:
    by = {"ward": {"categories": ["north", "south"]}, "age": {"bands": [40]}}
    study = loaded(tmp_path, subgroups={"by": by, "floor": 20})
    again = Study.of_terms({"study": study._plain()})
    assert again.groupings == study.groupings
    assert again.layout == study.layout


@pytest.mark.parametrize(
    ("ward", "said"),
    [
        (["north", None, "south", "north"] * 20, None),
        (["north", "east", "south", "north"] * 20, "ward is none of"),
        (None, "there is no column ward"),
    ],
)
def test_the_data_contract_checks_a_column_that_is_no_input(
    tmp_path: Path, ward: list[str | None] | None, said: str | None
) -> None:
    study = loaded(tmp_path, subgroups={"by": {"ward": {"categories": ["north", "south"]}}})
    rows = pd.DataFrame(
        {
            "record_id": np.arange(80),
            "age": np.arange(80),
            "sex": [0, 1] * 40,
            "side": ["left", "right"] * 40,
            "label": ["well", "ill", "ill", "well"] * 20,
        }
    )
    folder = tmp_path / "records"
    folder.mkdir()
    (rows if ward is None else rows.assign(ward=ward)).to_csv(folder / "records.csv", index=False)
    failures = " ".join(inspect(folder, study).failures.values())
    assert said in failures if said else not failures


def test_bands_are_named_with_all_their_digits(tmp_path: Path) -> None:
    study = loaded(tmp_path, subgroups={"by": {"born": {"bands": [20200101, 20200102]}}})
    assert study.groupings[0].names[:3] == ("below 20200101", "20200101 to below 20200102", "20200102 or more")


def test_signs_of_an_empty_cell_are_no_group_of_a_column_that_is_no_input(tmp_path: Path) -> None:
    by = {"ward": {"categories": ["north", "south"]}, "bmi": {"bands": [25, 30], "lowest": 10, "highest": 80}}
    table = {"columns": {"age": [0, 120]}, "classes": ["well", "ill"], "missing": ["NA", -9], "scale": "range"}
    study = loaded(tmp_path, table=table, subgroups={"by": by})

    def failures(home: str, ward: list[str], bmi: list[Any]) -> dict[str, str]:
        folder = records_folder(tmp_path / home, "grouped")
        folder.mkdir(parents=True)
        rows = pd.DataFrame({"record_id": np.arange(80), "split": ["train"] * 60 + ["test"] * 20, "age": 40})
        labels = ["well", "ill", "ill", "well"]
        rows.assign(ward=ward * 20, bmi=bmi * 20, label=labels * 20).to_csv(folder / "records.csv", index=False)
        return dict(inspect(folder, study).failures)

    assert failures("aster", ["north", "NA", "south", "-9"], [24.9, "NA", -9, 30]) == {}
    bmi, ward = grouping.tested(tmp_path / "aster", study.source, study.groupings)
    assert ward[:4].tolist() == [0, 2, 1, 2]
    assert bmi[:4].tolist() == [0, 3, 3, 2]
    assert "bmi is within 10 to 80" in failures("birch", ["north"] * 4, [24, 25, -7, 30])
    assert "ward is north or south" in failures("cedar", ["north", "east"] * 2, [24, 25, 26, 30])
