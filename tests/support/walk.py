"""The lines that a reader types who follows a page of the docs."""

from __future__ import annotations

import re

from tests.support.prose import PROJECT

_BLOCK = re.compile(r"^```(?:sh|bash)?\n(.*?)^```", re.MULTILINE | re.DOTALL)


def lines(page: str, heading: str) -> list[str]:
    """The commands below a heading of a page in docs/, in their order."""
    text = (PROJECT / "docs" / page).read_text()
    _, _, rest = text.partition(f"\n## {heading}\n")
    assert rest, f"{page} has no heading {heading}"
    below, _, _ = rest.partition("\n## ")
    return [line for block in _BLOCK.findall(below) for line in block.splitlines() if line]
