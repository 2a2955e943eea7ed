"""Centred clipping: updates are clipped about what the last round added.

Karimireddy, He, Jaggi, Learning from History for Byzantine Robust Optimization, ICML 2021.
"""

from __future__ import annotations

import numpy as np

from benchmarks.poisoning.kinds import Outcome, Seen
from benchmarks.poisoning.search import clipped

STEPS = 3


def centred_clipping(seen: Seen) -> Outcome:
    """The radius is the median distance to the centre, for the paper leaves it to be tuned."""
    centre = seen.previous
    for _ in range(STEPS):
        away = seen.updates - centre
        centre = centre + clipped(away, float(np.median(np.linalg.norm(away, axis=1)))).mean(axis=0)
    return Outcome(centre)
