"""Distributed backdoor: each attacker trains one part of the trigger, scaled as in model replacement.

Xie, Huang, Chen, Li, DBA: Distributed Backdoor Attacks against Federated Learning, ICLR 2020.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.poisoning.attacks import badnets, model_replacement
from benchmarks.poisoning.kinds import Attack, Generator, Stamp

if TYPE_CHECKING:
    import torch


def poison(
    inputs: torch.Tensor, labels: torch.Tensor, attacker: int, rng: Generator, stamp: Stamp
) -> tuple[torch.Tensor, torch.Tensor]:
    """Each attacker has its part of the trigger."""
    return badnets.poison(inputs, labels, attacker, rng, stamp, part=attacker)


ATTACK = Attack(
    "Xie et al., ICLR 2020",
    "each attacker trains one part of the trigger, scaled up",
    harm="backdoor",
    poison=poison,
    effort=3,
    craft=model_replacement.craft,
)
