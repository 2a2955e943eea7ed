"""The modes in which a study's updates are evaluated, as far as its file goes.

`pipeline.round.evaluation` is what a node does in each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


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
    shares_samples: bool
    """Whether every update is judged on samples that all hospitals share."""
    draws_seed: bool
    """Whether the nodes draw a seed in the round, to whose parts they commit with their sealing keys."""
    unused_fields: tuple[str, ...] = ()
    """Fields of the rule that it does not read."""


_LARGE_FROM = 100_000
"""Parameters up to which the whole rule is evaluated under encryption; more need the weaker checks, fewer may not
choose them."""

_LARGEST = 16_000_000
"""Parameters; more no node takes in."""

_FULL = Mode(
    "full",
    above=0,
    most=_LARGE_FROM,
    takes=f"at most {_LARGE_FROM}, the limit for the encrypted rule; `mode: large` checks less, on more",
    shares_samples=True,
    draws_seed=False,
)
_LARGE = Mode(
    "large",
    above=_LARGE_FROM,
    most=_LARGEST,
    takes=f"more than {_LARGE_FROM} and at most {_LARGEST}; without `mode` below",
    shares_samples=False,
    draws_seed=True,
    unused_fields=(
        "images_per_hospital",
        "early_rounds",
        "below_global_early_percent",
        "below_global_percent",
        "below_peers_early_percent",
        "below_peers_percent",
        "weakest_class_below_global_early_percent",
        "weakest_class_below_global_percent",
        "weakest_class_below_peers_early_percent",
        "weakest_class_below_peers_percent",
    ),
)

MODES: Mapping[str, Mode] = {mode.name: mode for mode in (_FULL, _LARGE)}
"""By the name in a study's file."""
