"""A study that continues another one keeps its backbone, whose features are all that its model knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.errors import InvalidStudy
from pipeline.round import continuation
from pipeline.study.study import Study
from tests.support.backbones import backbone, study_lines
from tests.support.installed import STUDY


def written(folder: Path, name: str, **changes: Any) -> Study:
    content = STUDY | study_lines(backbone()) | changes
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return Study.load(folder / f"{name}.yaml")


def continuing(folder: Path, **changes: Any) -> Study:
    written(folder, "before")
    return written(folder, "after", continues={"study": "before", "round": 7}, **changes)


IMAGES = study_lines(backbone())["images"]
BACKBONE = study_lines(backbone())["backbone"]


@pytest.mark.parametrize(
    "changes",
    [
        {"backbone": BACKBONE | {"sha256": "0" * 64}},
        {"backbone": BACKBONE | {"output": "others"}},
        {"backbone": BACKBONE | {"mean": 0.5}},
        {"backbone": BACKBONE | {"deviation": 0.5}},
        {"images": IMAGES | {"mean": [100.0]}},
        {"images": IMAGES | {"deviation": [40.0]}},
    ],
)
def test_a_model_behind_another_backbone_or_other_constants_is_continued_by_nobody(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    with pytest.raises(InvalidStudy, match=r"backbone: got .*, want that of before, with the same constants"):
        continuation.predecessor(continuing(tmp_path, **changes), tmp_path)


def test_the_same_backbone_under_another_name_goes_on(tmp_path: Path) -> None:
    study = continuing(tmp_path, backbone=BACKBONE | {"onnx": "renamed.onnx"})
    before = continuation.predecessor(study, tmp_path)
    assert before is not None
    assert before.name == "before"
