"""Every file that pydicom ships for its tests has the outcome that was compared with a second reader."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.pictures import FILES, RESULTS, files
from pipeline.datasets.picture import NoPicture
from pipeline.datasets.picture_files import picture

ROWS: list[dict[str, Any]] = json.loads(RESULTS.read_text())["rows"]


def test_every_shipped_file_was_compared_and_none_is_wrong() -> None:
    assert [row["file"] for row in ROWS] == [path.relative_to(FILES).as_posix() for path in files()]
    assert {row["outcome"] for row in ROWS} == {"right", "refused"}
    assert sum(row["outcome"] == "right" for row in ROWS) >= 90


@pytest.mark.parametrize("outcome", ["right", "refused"])
def test_a_shipped_file_is_still_read_as_it_was_compared(outcome: str) -> None:
    for row in (row for row in ROWS if row["outcome"] == outcome):
        if outcome == "refused":
            with pytest.raises(NoPicture) as caught:
                picture(FILES / row["file"])
            assert str(caught.value) == row["reason"], row["file"]
        elif not row["with_loss"]:  # whose last bit is the processor's
            assert picture(FILES / row["file"]).digest.hex() == row["pixels"], row["file"]
