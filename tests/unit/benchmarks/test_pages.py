import re
from pathlib import Path

import pytest

from benchmarks.pages import DOCUMENTS, rendered

_TABLE_LINE = re.compile(r"^\|.*\|$", re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_figures_are_those_of_the_results(document: Path) -> None:
    text = document.read_text()
    assert "made by `python -m benchmarks.pages`" in text
    assert rendered(text) == text, "run `python -m benchmarks.pages`"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_tables_print_no_negative_zero_or_seconds_no_commit_in_full_and_no_absent_pooling(document: Path) -> None:
    text = document.read_text()
    tables = "\n".join(_TABLE_LINE.findall(text))
    assert re.findall(r"(?<!\d)-0(?:\.0+)?(?![\d.])", tables) == []
    assert re.findall(r"\| -\d[\d.]* (?=s\b|\|)", tables) == []
    assert re.findall(r"\b[0-9a-f]{40}\b", text) == []
    assert "none pooling" not in text


def test_the_front_page_has_one_table_of_at_most_six_rows() -> None:
    text = (DOCUMENTS[0]).read_text()
    begin, end = "<!-- results: made by `python -m benchmarks.pages` -->", "<!-- end of results -->"
    rows = _TABLE_LINE.findall(text[text.index(begin) : text.index(end)])
    assert 0 < len(rows) - len(("heads", "rule")) <= 6
    assert text.count("made by `python -m benchmarks.pages`") == 1


def test_a_document_without_the_end_of_a_table_is_refused_before_any_is_written() -> None:
    with pytest.raises(ValueError, match="end of gas"):
        rendered("<!-- gas: made by `python -m benchmarks.pages` -->\n\nand no more")


def test_a_table_that_nobody_makes_is_refused() -> None:
    with pytest.raises(ValueError, match="weather"):
        rendered("<!-- weather: made by `python -m benchmarks.pages` -->\n<!-- end of weather -->\n")
