"""Divide and conquer: out goes who lies farthest along the first principal direction of some random coordinates.

Shejwalkar, Houmansadr, Manipulating the Byzantine: Optimizing Model Poisoning Attacks and Defenses for Federated
Learning, NDSS 2021.
"""

from __future__ import annotations

import numpy as np

from benchmarks.poisoning.kinds import Outcome, Seen

ROUNDS = 3
COORDINATES = 1000


def dnc(seen: Seen) -> Outcome:
    """The mean of those that every round keeps; each round drops as many as there are attackers."""
    count, size = seen.updates.shape
    kept = np.ones(count, dtype=bool)
    for _ in range(ROUNDS):
        part = seen.updates[:, seen.rng.choice(size, min(COORDINATES, size), replace=False)]
        centred = part - part.mean(axis=0)
        outlying = (centred @ np.linalg.svd(centred, full_matrices=False)[2][0]) ** 2
        kept[np.argsort(outlying)[count - seen.assumed :]] = False
    if not kept.any():
        return Outcome(np.zeros(size), kept)
    return Outcome(seen.updates[kept].mean(axis=0), kept)
