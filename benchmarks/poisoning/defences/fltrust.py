"""FLTrust: updates weigh by their cosine to an update that the server trains on clean records of its own.

Cao, Fang, Liu, Gong, FLTrust: Byzantine-robust Federated Learning via Trust Bootstrapping, NDSS 2021.
"""

from __future__ import annotations

import numpy as np

from benchmarks.poisoning.kinds import Outcome, Seen


def fltrust(seen: Seen) -> Outcome:
    """The mean of updates scaled to the root update's norm, weighted by the positive part of their cosine to it."""
    root = seen.root()
    length = float(np.linalg.norm(root))
    norms = np.maximum(np.linalg.norm(seen.updates, axis=1), 1e-12)
    trust = np.maximum(seen.updates @ root / (norms * max(length, 1e-12)), 0)
    if not trust.sum():
        return Outcome(np.zeros_like(root), trust > 0)
    return Outcome((trust * length / norms) @ seen.updates / trust.sum(), trust > 0)
