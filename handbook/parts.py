"""The table of what a site must keep, from the one table by which backups go."""

from __future__ import annotations

import re

from handbook.markdown import table
from pipeline.backup.keeping import PARTS

_BLOCK = re.compile(r"(?<=<!-- parts: made by `python -m handbook` -->\n).*?(?=<!-- end of parts -->)", re.DOTALL)


def filled(page: str) -> str:
    """A page with its table of a site's files made anew; raises ValueError for a page that has no place for it."""
    rows = [
        (
            part.what,
            ", ".join(role.value for role in part.roles),
            ", ".join(f"`{name}`" for name in (*part.private, *part.common)),
            "kept" if part.kept else "may be lost",
            part.why,
        )
        for part in PARTS
    ]
    made, count = _BLOCK.subn(lambda _: "\n" + table(("What", "At", "Files", "", "Why"), rows) + "\n", page)
    if count != 1:
        raise ValueError(
            f"got {count} places for a site's files, want one, between two comments that name `python -m handbook`"
        )
    return made
