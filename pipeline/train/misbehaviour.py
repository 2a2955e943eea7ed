"""How a demonstration hospital misbehaves, by its own local configuration; a round has no parameter for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline.datasets import Samples
from pipeline.errors import Misconfigured, shown
from pipeline.host.documents import read_fields
from pipeline.model_file import Vector


def _unchanged(update: Vector) -> Vector:
    return update


@dataclass(frozen=True)
class Behaviour:
    """What a hospital does with its labels, its training steps and its update."""

    summary: str
    flips_labels: bool = False
    """Of the records that it trains on and of the validation samples that it contributes."""
    effort: int = 1
    """Training steps as a multiple of the study's."""
    keeps_budget: bool = True
    backs_off: bool = True
    """Sends a smaller update after a rejection."""
    tampers: Callable[[Vector], Vector] = _unchanged

    def labelled(self, samples: Samples, classes: int) -> Samples:
        """The samples as this hospital labels them."""
        return replace(samples, labels=(samples.labels + 1) % classes) if self.flips_labels else samples


def _reverse(update: Vector) -> Vector:
    return -5 * update


def _nothing(update: Vector) -> Vector:
    return np.zeros_like(update)


def _cast_nan(update: Vector) -> Vector:
    return np.full_like(update, np.iinfo(np.int64).min)


HONEST = Behaviour("does what the study says")

BEHAVIOURS: Mapping[str, Behaviour] = {
    "honest": HONEST,
    "label_flip": Behaviour(
        "swaps its labels, trains longer and ignores the budget", flips_labels=True, effort=4, keeps_budget=False
    ),
    "label_flip_within_budget": Behaviour(
        "the same, scaled to the budget", flips_labels=True, effort=4, backs_off=False
    ),
    "sign_flip": Behaviour("sends five times its update, reversed", keeps_budget=False, tampers=_reverse),
    "free_rider": Behaviour("sends an update of zeros", tampers=_nothing),
    "not_a_number": Behaviour(
        "sends what NaN becomes when it is cast to an integer", keeps_budget=False, tampers=_cast_nan
    ),
}
"""Name in a hospital's own hospital.yaml, field `misbehaviour`, to behaviour.

An update beyond the budget fails the encrypted size check alone; `label_flip_within_budget` is the one that only the
encrypted inference (and the direction) can catch, and the fairer test of the rule: it is let in once its update is too
small to do harm.
"""


def behaviour(name: object) -> Behaviour:
    """The behaviour of that name, honest for None; raises Misconfigured naming those that there are."""
    if name is None:
        return HONEST
    if not isinstance(name, str) or name not in BEHAVIOURS:
        raise Misconfigured(f"misbehaviour: got {shown(name)}, want one of {', '.join(BEHAVIOURS)}")
    return BEHAVIOURS[name]


def configured(home: Path) -> Behaviour:
    """The behaviour that a hospital's own hospital.yaml names; honest when it names none."""
    path = home / "hospital.yaml"
    if not path.exists():
        return HONEST
    return behaviour(read_fields(path.read_bytes(), str(path)).get("misbehaviour"))
