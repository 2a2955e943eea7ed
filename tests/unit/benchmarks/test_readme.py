from pathlib import Path

import pytest

from benchmarks.readme import DOCUMENTS, rendered


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_figures_are_those_of_the_results(document: Path) -> None:
    text = document.read_text()
    assert "made by `python -m benchmarks.readme`" in text
    assert rendered(text) == text, "run `python -m benchmarks.readme`"
