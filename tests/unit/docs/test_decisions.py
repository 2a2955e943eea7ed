"""Every decision has a status, and the index lists it as it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.site.settings import PROJECT

FOLDER = PROJECT / "docs" / "adr"
DECISIONS = sorted(FOLDER.glob("[0-9]*.md"))
INDEX = (FOLDER / "index.md").read_text()


def test_no_number_is_given_twice() -> None:
    assert len({file.name[:4] for file in DECISIONS}) == len(DECISIONS) > 0


@pytest.mark.parametrize("file", DECISIONS, ids=lambda file: file.stem)
def test_a_decision_has_a_number_a_status_and_a_row_in_the_index(file: Path) -> None:
    head = re.match(r"# (\d+)\. (.+)\n\n\*\*Status\.\*\* (Proposed|Accepted|Superseded by \d+)\b", file.read_text())
    assert head, "want `# N. Title`, an empty line, and `**Status.** Accepted, DAY MONTH YEAR.`"
    number, title, status = head.groups()
    assert int(number) == int(file.name[:4])
    assert f"\n| {number} | [{title}]({file.name}) | {status}" in INDEX, "its row in docs/adr/index.md"
