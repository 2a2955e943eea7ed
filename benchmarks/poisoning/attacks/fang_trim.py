"""Fang's attack on the trimmed mean: every coordinate just outside the honest range, against the honest direction.

Fang, Cao, Jia, Gong, Local Model Poisoning Attacks to Byzantine-Robust Federated Learning, USENIX Security 2020.
"""

from __future__ import annotations

import numpy as np

from benchmarks.poisoning.kinds import Attack, Updates, View


def craft(view: View) -> Updates:
    """Up to one honest range beyond the honest extreme of each coordinate."""
    lowest = view.honest.min(axis=0)
    highest = view.honest.max(axis=0)
    beyond = view.rng.random(view.trained.shape) * (highest - lowest)
    return np.asarray(np.where(view.honest.mean(axis=0) > 0, lowest - beyond, highest + beyond))


ATTACK = Attack(
    "Fang et al., USENIX Security 2020", "every coordinate beyond the honest range, against the mean", craft=craft
)
