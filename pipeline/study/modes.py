"""The modes in which a study's updates are evaluated, as far as its file goes.

`pipeline.round.evaluation` is what a node does in each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.layers import CHECKED, PROJECTED, WeightBounds


@dataclass(frozen=True)
class Mode:
    """What a mode takes and asks of a study."""

    name: str
    above: int
    """Parameters that a model must exceed."""
    most: int
    """Parameters up to which it takes a model."""
    takes: str
    """The same in words."""
    weights: WeightBounds
    """Of every model that is tried under encryption."""
    projects: bool
    """Whether size and direction are judged on random projections."""
    lacks: str = ""
    """What it does less than the whole rule, in words; empty where that is nothing."""


_LARGE_FROM = 100_000
"""Parameters up to which every coordinate is checked and sorted under encryption; more need the weaker checks, fewer
may not choose them."""

_LARGEST = 16_000_000
"""Parameters; more no node takes in."""

_FULL = Mode(
    "full",
    above=0,
    most=_LARGE_FROM,
    takes=f"at most {_LARGE_FROM}, the limit for the encrypted rule; `mode: large` checks less, on more",
    weights=CHECKED,
    projects=False,
)
_LARGE = Mode(
    "large",
    above=_LARGE_FROM,
    most=_LARGEST,
    takes=f"more than {_LARGE_FROM} and at most {_LARGEST}; without `mode` below",
    weights=PROJECTED,
    projects=True,
    lacks="size and direction are checked on random projections, and nothing is trimmed from the mean",
)

MODES: Mapping[str, Mode] = {mode.name: mode for mode in (_FULL, _LARGE)}
"""By the name in a study's file."""
