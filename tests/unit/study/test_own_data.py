"""The lines of *Bring your own data* for one's own data and model, taken from the page and run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from benchmarks import defaults
from examples.sepsis import patients
from pipeline.errors import InvalidStudy
from pipeline.ingest.explain import inspect
from pipeline.site.settings import PROJECT
from pipeline.study.study import Study

PAGE = PROJECT / "docs" / "tutorials" / "bring-your-own-data.md"
(LINES,) = re.findall(r"```yaml\n(table:.*?)```", PAGE.read_text(), re.S)
OTHERS = {
    "title": "Sepsis",
    "hospitals": ["aster", "birch", "cedar"],
    "nodes": ["north", "east", "west"],
    "engine": "spu",
    "protocol": "aby3",
}


def written(folder: Path, lines: str = LINES, **others: Any) -> Path:
    file = folder / "sepsis.yaml"
    file.write_text(yaml.safe_dump(OTHERS | others) + lines)
    return file


def test_own_data_and_own_model_take_at_most_eight_lines_and_no_constant(tmp_path: Path) -> None:
    assert len(LINES.splitlines()) <= 8
    study = Study.load(written(tmp_path))
    assert study.dataset == "sepsis"
    assert [one.name for one in study.source.measured] == ["age", "lactate", "heart_rate"]
    patients(240, np.random.default_rng(0)).to_csv(tmp_path / "records.csv", index=False)
    found = inspect(tmp_path, study)
    assert found.failures == {}
    assert any("first round measures mean and deviation of age, lactate, heart_rate" in note for note in found.notes)


@pytest.mark.parametrize("seed", [0, 1, 13])
def test_the_page_s_lines_learn_from_usual_patients_as_well_as_a_regression_on_all_of_them(seed: int) -> None:
    """900 records at five hospitals, one of which flips its labels, on the scale that their study measures."""
    found = defaults.play(defaults.EXAMPLE, defaults.Setting(), seed)
    assert found["regression"] > 0.83
    assert found["accuracy"] > found["regression"] - 0.02
    assert (found["rejected_later"], found["attacker_accepted"]) == (0, 0)


def test_constants_from_the_range_alone_are_warned_of_and_others_named_that_fit(tmp_path: Path) -> None:
    lines = LINES.replace("  classes:", "  scale: range\n  classes:")
    assert lines != LINES
    patients(900, np.random.default_rng(1)).to_csv(tmp_path / "records.csv", index=False)
    (note,) = [
        note for note in inspect(tmp_path, Study.load(written(tmp_path, lines))).notes if "hard to learn" in note
    ]
    assert re.fullmatch(
        r"lactate varies by less than a fifth of its distance from the study's mean, and is hard to learn from\. Here"
        r" it is about 2 with a deviation of about (0\.9|1); `mean: 2, deviation: \1` in the study would fit, if others"
        r" see the same\.",
        note,
    )


def test_several_studies_may_share_data_under_a_name_that_no_package_has(tmp_path: Path) -> None:
    assert Study.load(written(tmp_path, dataset="icu")).source.name == "icu"
    with pytest.raises(
        InvalidStudy, match=r"dataset: got 'pneumonia', want another name than those of the package: breast_cancer"
    ):
        Study.load(written(tmp_path, dataset="pneumonia"))


@pytest.mark.parametrize(
    ("lines", "field", "wanted"),
    [
        (
            LINES.replace("lactate: [0, 30]", "lactate: [30, 0]"),
            r"table\.columns\.lactate",
            "the lowest value lies below the highest",
        ),
        (LINES.replace("[recovered, septic]", "[recovered, septic, dead]"), "model", "3, one per class of sepsis"),
        (LINES.replace("[recovered, septic]", "[no, yes]"), r"table\.classes\.0", "valid string"),
        (LINES + "images: {size: [8, 8], classes: [a, b]}\n", "images", "one kind of data in a study"),
        (LINES.replace("table:", "images:").replace("  columns", "  size"), r"images\.size", "valid"),
    ],
)
def test_a_wrong_line_is_refused_with_its_field_and_what_is_allowed(
    lines: str, field: str, wanted: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidStudy, match=rf"{field}: got .*{wanted}"):
        Study.load(written(tmp_path, lines))


def test_pictures_of_one_s_own_take_one_line_more_than_the_model(tmp_path: Path) -> None:
    model = "model:\n  - Flatten: {}\n  - Linear: {out_features: 2}\n"
    study = Study.load(written(tmp_path, "images: {size: [8, 9], classes: [normal, pneumonia]}\n" + model))
    assert (study.source.shape, study.network.size) == ((1, 8, 9), 146)
