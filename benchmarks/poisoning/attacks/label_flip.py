"""Label flipping: every label becomes the next class.

Tolpegin et al., Data Poisoning Attacks Against Federated Learning Systems, ESORICS 2020.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.poisoning.kinds import Attack, Generator, Stamp

if TYPE_CHECKING:
    import torch


def flip(
    inputs: torch.Tensor, labels: torch.Tensor, attacker: int, rng: Generator, stamp: Stamp
) -> tuple[torch.Tensor, torch.Tensor]:
    """Two classes change places."""
    return inputs, 1 - labels


ATTACK = Attack("Tolpegin et al., ESORICS 2020", "swaps the labels of all records", poison=flip)
