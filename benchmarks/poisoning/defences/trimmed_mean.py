"""Coordinate-wise trimmed mean.

Yin, Chen, Kannan, Bartlett, Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates, ICML 2018.
"""

from __future__ import annotations

import numpy as np

from benchmarks.poisoning.kinds import Outcome, Seen


def trimmed_mean(seen: Seen) -> Outcome:
    """The mean of each coordinate without as many values at either end as there are attackers."""
    count = len(seen.updates)
    trimmed = min(seen.assumed, (count - 1) // 2)
    return Outcome(np.sort(seen.updates, axis=0)[trimmed : count - trimmed].mean(axis=0))
