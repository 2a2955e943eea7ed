"""What an attack and a defence are: pure functions of what they may know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch
Updates = npt.NDArray[np.float64]
"""(hospitals, P), in units of weights."""

Update = npt.NDArray[np.float64]
Generator = np.random.Generator


class Stamp(Protocol):
    """How a backdoor's trigger comes into records."""

    def __call__(self, inputs: torch.Tensor, part: int | None = None) -> torch.Tensor:
        """Inputs (n, *sample) with the trigger; `part` 0 to 3: one quarter of it only."""


class Poison(Protocol):
    """What an attacker does to a training batch."""

    def __call__(
        self, inputs: torch.Tensor, labels: torch.Tensor, attacker: int, rng: Generator, stamp: Stamp
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The batch as this attacker trains on it; `attacker` counts them from 0."""


class Train(Protocol):
    """Attackers' own training."""

    def __call__(
        self,
        poison: Poison | None,
        effort: int = 1,
        *,
        radius: float | None = None,
        allowed: npt.NDArray[np.bool_] | None = None,
        start: Update | None = None,
    ) -> Updates:
        """Train all attackers from the global model, or go on from an update: (attackers, P)."""


@dataclass(frozen=True)
class View:
    """Everything that colluding attackers know when they write their updates: the literature's omniscient attacker."""

    honest: Updates
    """The honest hospitals' updates of this round."""
    trained: Updates
    """What the attackers' own training gave, with their poison where the attack has one."""
    hospitals: int
    previous: Update
    """What the last round added to the global model."""
    radius: float
    """Largest norm of an update that the round will take: the published budget, or what attackers expect it to be."""
    rng: Generator
    train: Train
    accepted: Callable[[Updates], bool]
    """Would the defence take this update from every attacker? By the attackers' own clean records in place of the
    secret samples."""

    @property
    def attackers(self) -> int:
        """Their number."""
        return len(self.trained)

    def everyone(self, update: Update) -> Updates:
        """The same update from each attacker."""
        return np.repeat(update[None], self.attackers, axis=0)


@dataclass(frozen=True)
class Attack:
    """One attack: `poison` acts on training batches, `craft` on the updates; without either the attacker is honest."""

    paper: str
    summary: str
    harm: str = "accuracy"
    """What it does to undefended averaging: accuracy, backdoor, or nothing that accuracy shows."""
    poison: Poison | None = None
    effort: int = 1
    """Training steps as a multiple of the study's."""
    craft: Callable[[View], Updates] | None = None
    alters_own: bool = False
    """Whether `craft` starts from what honest training gave the attacker."""
    adaptive: bool = False
    """Knows the rule, its thresholds and every honest update; heeds the published budget by itself."""


@dataclass(frozen=True)
class Seen:
    """What a defence of the literature may know."""

    updates: Updates
    assumed: int
    """Number of attackers that it is told to expect."""
    previous: Update
    rng: Generator
    root: Callable[[], Update]
    """An update trained on a clean root data set that the server holds."""
    recall: Callable[[Updates], npt.NDArray[np.int64]]
    """Correct answers of the global model and of each updated one on the owners' clean samples, (1 + hospitals,
    owners)."""
    samples: int
    """Samples of each owner behind `recall`."""


@dataclass(frozen=True)
class Outcome:
    """The update to add to the global model, and which hospitals were kept where the defence decides that."""

    update: Update
    kept: npt.NDArray[np.bool_] | None = None


Defence = Callable[[Seen], Outcome]
