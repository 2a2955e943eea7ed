"""Norm clipping: no update is longer than the median one.

Sun, Kairouz, Suresh, McMahan, Can You Really Backdoor Federated Learning?, 2019.
"""

from __future__ import annotations

import numpy as np

from benchmarks.poisoning.kinds import Outcome, Seen
from benchmarks.poisoning.search import clipped


def norm_clipping(seen: Seen) -> Outcome:
    """The mean of the clipped updates."""
    return Outcome(clipped(seen.updates, float(np.median(np.linalg.norm(seen.updates, axis=1)))).mean(axis=0))
