"""The table of a site's metrics, from those that its watch exports."""

from __future__ import annotations

import re

from handbook.markdown import table
from pipeline.watch.metrics import Metrics

_BLOCK = re.compile(r"(?<=<!-- metrics: made by `python -m handbook` -->\n).*?(?=<!-- end of metrics -->)", re.DOTALL)


def filled(page: str) -> str:
    """A page with its table of metrics made anew; raises ValueError for a page that has no place for it."""
    told = Metrics("provider", "").table()
    rows = [(f"`{name}`", ", ".join(f"`{label}`" for label in labels), says) for name, labels, says in told]
    made, count = _BLOCK.subn(lambda _: "\n" + table(("Metric", "Labels", "What it says"), rows) + "\n", page)
    if count != 1:
        raise ValueError(
            f"got {count} places for metrics, want one, between two comments that name `python -m handbook`"
        )
    return made
