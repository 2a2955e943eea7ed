"""The table of a round's steps, from the one table that the DAG is made from."""

from __future__ import annotations

import re

from handbook.markdown import table
from pipeline.round_steps import ROUND

_BLOCK = re.compile(r"(?<=<!-- steps: made by `python -m handbook` -->\n).*?(?=<!-- end of steps -->)", re.DOTALL)


def filled(page: str) -> str:
    """A page with its table of steps made anew; raises ValueError for a page that has no place for it."""
    rows = [(f"`{step.name}`", step.actor.value, step.does, step.if_it_fails) for step in ROUND]
    made, count = _BLOCK.subn(
        lambda _: "\n" + table(("Step", "Who", "What it does", "When it fails"), rows) + "\n", page
    )
    if count != 1:
        raise ValueError(
            f"got {count} places for the steps, want one, between two comments that name `python -m handbook`"
        )
    return made
