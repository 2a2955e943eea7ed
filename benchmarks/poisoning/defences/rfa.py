"""RFA: the geometric median, by smoothed Weiszfeld steps.

Pillutla, Kakade, Harchaoui, Robust Aggregation for Federated Learning, IEEE Transactions on Signal Processing 2022.
"""

from __future__ import annotations

import numpy as np

from benchmarks.poisoning.kinds import Outcome, Seen

STEPS = 8
SMOOTHING = 1e-6


def rfa(seen: Seen) -> Outcome:
    """Weights are the inverse distances to the centre so far."""
    centre = seen.updates.mean(axis=0)
    for _ in range(STEPS):
        weights = 1 / np.maximum(np.linalg.norm(seen.updates - centre, axis=1), SMOOTHING)
        centre = weights @ seen.updates / weights.sum()
    return Outcome(centre)
