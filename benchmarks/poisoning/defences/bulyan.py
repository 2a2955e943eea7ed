"""Bulyan: Krum chooses, then each coordinate averages the values nearest to its median.

El Mhamdi, Guerraoui, Rouault, The Hidden Vulnerability of Distributed Learning in Byzantium, ICML 2018.
"""

from __future__ import annotations

import numpy as np

from benchmarks.poisoning.defences.multi_krum import scores
from benchmarks.poisoning.kinds import Outcome, Seen


def bulyan(seen: Seen) -> Outcome:
    """Its guarantee needs n >= 4 f + 3; with fewer hospitals f is lowered to what the number allows."""
    count = len(seen.updates)
    expected = min(seen.assumed, (count - 3) // 4)
    remaining = list(range(count))
    selected: list[int] = []
    while len(selected) < count - 2 * expected:
        best = (
            remaining[int(np.argmin(scores(seen.updates[remaining], expected)))] if len(remaining) > 2 else remaining[0]
        )
        selected.append(best)
        remaining.remove(best)
    chosen = seen.updates[selected]
    near = np.argsort(np.abs(chosen - np.median(chosen, axis=0)), axis=0)[: max(len(selected) - 2 * expected, 1)]
    kept = np.zeros(count, dtype=bool)
    kept[selected] = True
    return Outcome(np.take_along_axis(chosen, near, axis=0).mean(axis=0), kept)
