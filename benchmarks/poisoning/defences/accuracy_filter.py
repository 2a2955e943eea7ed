"""The seed paper's rule.

Out goes an update whose model answers pooled clean samples 10 points worse than the global or median one.
"""

from __future__ import annotations

import numpy as np

from benchmarks.poisoning.kinds import Outcome, Seen

POINTS = 0.10


def accuracy_filter(seen: Seen) -> Outcome:
    """The mean of what is left; nothing when nothing is."""
    counts = seen.recall(seen.updates)
    share = counts.sum(axis=1) / (counts.shape[1] * seen.samples)
    kept = share[1:] >= max(share[0], float(np.median(share[1:]))) - POINTS
    update = seen.updates[kept].mean(axis=0) if kept.any() else np.zeros(seen.updates.shape[1])
    return Outcome(update, kept)
