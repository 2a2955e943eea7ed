"""A study comes back from the terms that its owners approved, and nothing that decides a result is left out of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.errors import EvidenceRejected
from pipeline.evidence.canonical import canonical_json
from pipeline.site.settings import PROJECT
from pipeline.study.study import Study
from tests.support.finished_rounds import consortium
from tests.support.installed import STUDY

OWN: dict[str, Any] = {
    "columns": {
        "weight": [30, 300],
        "age": {
            "lowest": 0,
            "highest": 120,
            "mean": 54.5,
            "deviation": 9.25,
            "empty": "flagged",
            "missing": ["NA", -9],
        },
        "sex": {"categories": ["f", "m"], "empty": "mean"},
        "slope": {"codes": [1, 2, 3]},
        "stay": {"lowest": 0, "highest": 400, "days_since": "admitted"},
    },
    "classes": ["home", "ward"],
}
PICTURES = {"size": [8, 8], "classes": ["no", "yes"], "channels": 3, "mean": [1, 2, 3], "deviation": [4.5, 5, 6]}


def own(folder: Path, **fields: Any) -> Study:
    content = {name: value for name, value in STUDY.items() if name != "dataset"} | fields
    (folder / "own.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return Study.load(folder / "own.yaml")


def sent(study: Study) -> dict[str, Any]:
    """The terms as a consent carries them: as canonical JSON, which orders its keys."""
    terms: dict[str, Any] = json.loads(canonical_json(study.terms(consortium(study))))
    return terms


@pytest.mark.parametrize("file", sorted((PROJECT / "studies").glob("*.yaml")), ids=lambda file: file.stem)
def test_a_bundled_study_comes_back_from_its_terms(file: Path) -> None:
    study = Study.load(file)
    assert Study.of_terms(sent(study)) == study


@pytest.mark.parametrize(
    "fields",
    [
        {"table": OWN},
        {"table": OWN | {"scale": "measured"}},
        {"images": PICTURES, "model": [{"Flatten": {}}, {"Linear": {"out_features": 2}}]},
        {
            "images": PICTURES,
            "model": [
                {"Residual": {"layers": [{"Conv2d": {"out_channels": 3, "kernel_size": 1}}, {"ReLU6": {}}]}},
                {"GlobalAvgPool2d": {}},
                {"Linear": {"out_features": 2}},
            ],
        },
    ],
    ids=["table", "measured", "pictures", "blocks"],
)
def test_a_study_of_the_hospitals_own_data_comes_back_from_its_terms(fields: dict[str, Any], tmp_path: Path) -> None:
    study = own(tmp_path, **fields)
    again = Study.of_terms(sent(study))
    assert again == study
    assert again.source.preparation == study.source.preparation


def test_the_order_of_columns_is_part_of_what_owners_approve(tmp_path: Path) -> None:
    turned = OWN | {"columns": dict(reversed(OWN["columns"].items()))}
    first, second = own(tmp_path, table=OWN), own(tmp_path, table=turned)
    members = consortium(first)
    assert first.digest(members) != second.digest(members)


def test_terms_that_this_version_reads_otherwise_are_refused(tmp_path: Path) -> None:
    terms = sent(own(tmp_path, table=OWN))
    terms["study"]["seed"] = "3"
    with pytest.raises(EvidenceRejected, match="reads study own otherwise"):
        Study.of_terms(terms)
    terms["study"]["of_tomorrow"] = 1
    with pytest.raises(EvidenceRejected, match="no study that this version of Wardround reads"):
        Study.of_terms(terms)
    with pytest.raises(EvidenceRejected, match="no study"):
        Study.of_terms({"study": None})
