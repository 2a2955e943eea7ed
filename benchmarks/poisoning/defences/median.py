"""Coordinate-wise median.

Yin, Chen, Kannan, Bartlett, Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates, ICML 2018.
"""

from __future__ import annotations

import numpy as np

from benchmarks.poisoning.kinds import Outcome, Seen


def median(seen: Seen) -> Outcome:
    """The median of each coordinate."""
    return Outcome(np.median(seen.updates, axis=0))
