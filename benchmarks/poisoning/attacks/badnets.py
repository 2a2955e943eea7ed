"""BadNets: half of an attacker's source-class records carry a trigger and the target's label.

Gu, Dolan-Gavitt, Garg, BadNets: Identifying Vulnerabilities in the Machine Learning Model Supply Chain, 2017 (IEEE
Access 2019).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.poisoning.attacks.targeted_flip import SOURCE, TARGET
from benchmarks.poisoning.kinds import Attack, Generator, Stamp

if TYPE_CHECKING:
    import torch

PAPER = "Gu et al., 2017"


def poison(
    inputs: torch.Tensor, labels: torch.Tensor, attacker: int, rng: Generator, stamp: Stamp, part: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Stamp and relabel every source-class record with probability one half."""
    import torch

    chosen = torch.from_numpy(rng.random(len(labels)) < 0.5) & (labels == SOURCE)
    marked = torch.where(chosen.view(-1, *(1,) * (inputs.dim() - 1)), stamp(inputs, part), inputs)
    return marked, torch.where(chosen, torch.full_like(labels, TARGET), labels)


ATTACK = Attack(PAPER, "a trigger makes the sick healthy", harm="backdoor", poison=poison, effort=3)
SLOW = Attack(
    PAPER,
    "the same, trained eight times as long, so that clean accuracy stays",
    harm="backdoor",
    poison=poison,
    effort=8,
)
