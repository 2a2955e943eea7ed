"""The lines of a study that a page shows make a study."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.study.study import Study
from tests.support.prose import PROJECT, pages

_YAML = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)

REST = {
    "title": "Example",
    "hospitals": ["aster", "birch", "cedar"],
    "nodes": ["north", "east", "west"],
    "engine": "spu",
    "protocol": "aby3",
}
DATA = {"dataset", "table", "images"}
"""Of these a study has one, so that a block ends what is above, and the model for it."""
MODEL = {"model": [{"Flatten": {}}, {"Linear": {"out_features": 2}}]}


def shown(page: Path) -> list[dict[str, Any]]:
    """A page's blocks that are of a study's file, each with those above it."""
    found: list[dict[str, Any]] = []
    for block in map(yaml.safe_load, _YAML.findall((PROJECT / page).read_text())):
        if isinstance(block, dict) and block.keys() & Study.model_fields.keys():
            other = DATA | {"model"} if DATA & block.keys() else set()
            above = {key: value for key, value in (found[-1] if found else {}).items() if key not in other}
            found.append(above | block)
    return found


PAGES = [page for page in pages() if shown(page)]


def test_there_are_pages_that_show_a_study() -> None:
    assert PAGES


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_what_a_page_shows_of_a_study_loads(page: Path, tmp_path: Path) -> None:
    for content in shown(page):
        pictures = any("Conv2d" in layer for layer in content.get("model", ()))
        data = {} if content.keys() & {"table", "images"} else {"dataset": "pneumonia" if pictures else "breast_cancer"}
        file = tmp_path / "example.yaml"
        file.write_text(yaml.safe_dump(REST | MODEL | data | content))
        assert Study.load(file).network.size > 0
