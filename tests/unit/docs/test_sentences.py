"""Pages are written in short sentences."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import mean

import pytest

from tests.support.prose import PROJECT, pages

MOST = 20
"""Words of a sentence, on a page's average."""

# Decisions and the change log are notes, of which many are no sentences.
READ = [page for page in pages() if page.parent.name != "adr" and page.name != "CHANGELOG.md"]

_NO_PROSE = re.compile(r"^(```|~~~).*?^\1|<!--.*?-->|^\s*\|.*?$|^#+ .*?$|<[^>]+>", re.MULTILINE | re.DOTALL)
_ITEM = re.compile(r"\n\s*\n|\n\s*(?:[-*]|\d+\.)\s+")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_END = re.compile(r"(?<=[.!?])[)*_\"”]*\s+(?=[A-Z0-9`*_\"“(])")


def sentences(text: str) -> list[int]:
    """Words of each sentence of a page's prose; code is one word, and a table's cell or a heading is no sentence."""
    prose = _LINK.sub(r"\1", _NO_PROSE.sub("\n\n", text))
    parts = (_END.split(re.sub(r"`[^`]*`", "code", " ".join(item.split()))) for item in _ITEM.split(prose))
    counted = (len(re.findall(r"\w[\w'’.,-]*", sentence)) for part in parts for sentence in part)
    return [words for words in counted if words]


@pytest.mark.parametrize("page", READ, ids=str)
def test_a_pages_sentences_are_short_on_average(page: Path) -> None:
    counted = sentences((PROJECT / page).read_text())
    assert not counted or mean(counted) <= MOST


def test_sentences_are_told_apart() -> None:
    text = (
        "# A heading of many words that count not\n\nOne two. Three `wardround show 3` five (see\n[six"
        " seven](x.md)).\n\n"
    )
    text += (
        "- Eight nine 1.5 ten\n  eleven.\n- Twelve!\n\n| a | table |\n|---|---|\n\n```\nsome code. More code.\n```\n"
    )
    assert sentences(text) == [2, 6, 5, 1]
