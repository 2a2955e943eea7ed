"""Multi-Krum: the mean of the updates that lie closest to their neighbours.

Blanchard, El Mhamdi, Guerraoui, Stainer, Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent,
NeurIPS 2017.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks.poisoning.kinds import Outcome, Seen, Updates
from benchmarks.poisoning.search import squared_distances


def multi_krum(seen: Seen) -> Outcome:
    """The n - f - 2 best; n - f where that would leave fewer than three."""
    count = len(seen.updates)
    expected = seen.assumed
    chosen = count - expected - 2 if count - expected - 2 >= 3 else count - expected
    kept = np.zeros(count, dtype=bool)
    kept[np.argsort(scores(seen.updates, expected), kind="stable")[:chosen]] = True
    return Outcome(seen.updates[kept].mean(axis=0), kept)


def scores(updates: Updates, attackers: int) -> npt.NDArray[np.float64]:
    """Krum's score: squared distances to the n - f - 2 nearest others, summed."""
    neighbours = max(len(updates) - attackers - 2, 1)
    return np.asarray(np.sort(squared_distances(updates), axis=1)[:, 1 : neighbours + 1].sum(axis=1))
