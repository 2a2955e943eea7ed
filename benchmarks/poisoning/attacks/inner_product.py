"""Inner product manipulation: a negative multiple of the honest mean.

Xie, Koyejo, Gupta, Fall of Empires: Breaking Byzantine-tolerant SGD by Inner Product Manipulation, UAI 2019.
"""

from __future__ import annotations

from functools import partial

from benchmarks.poisoning.kinds import Attack, Updates, View


def craft(view: View, factor: float) -> Updates:
    """Minus `factor` times the honest mean."""
    return view.everyone(-factor * view.honest.mean(axis=0))


SMALL = Attack("Xie et al., UAI 2019", "minus half the honest mean", craft=partial(craft, factor=0.5))
LARGE = Attack("Xie et al., UAI 2019", "minus a hundred times the honest mean", craft=partial(craft, factor=100.0))
