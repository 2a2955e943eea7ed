"""Plain federated averaging.

McMahan et al., Communication-Efficient Learning of Deep Networks from Decentralized Data, AISTATS 2017.
"""

from __future__ import annotations

from benchmarks.poisoning.kinds import Outcome, Seen


def fedavg(seen: Seen) -> Outcome:
    """The mean of all updates."""
    return Outcome(seen.updates.mean(axis=0))
