"""Targeted label flipping: the sick are labelled healthy, nothing else is touched.

Tolpegin et al., Data Poisoning Attacks Against Federated Learning Systems, ESORICS 2020 (source class to target class).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.poisoning.kinds import Attack, Generator, Stamp

if TYPE_CHECKING:
    import torch

SOURCE = 1
TARGET = 0


def flip(
    inputs: torch.Tensor, labels: torch.Tensor, attacker: int, rng: Generator, stamp: Stamp
) -> tuple[torch.Tensor, torch.Tensor]:
    """The source class becomes the target class."""
    import torch

    return inputs, torch.where(labels == SOURCE, torch.full_like(labels, TARGET), labels)


ATTACK = Attack("Tolpegin et al., ESORICS 2020", "labels the sick as healthy", poison=flip)
