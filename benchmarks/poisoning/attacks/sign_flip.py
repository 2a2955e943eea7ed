"""Sign flipping: five times the honest update, reversed.

Li et al., RSA: Byzantine-Robust Stochastic Aggregation Methods, AAAI 2019.
"""

from __future__ import annotations

from benchmarks.poisoning.kinds import Attack, Updates, View

FACTOR = -5.0


def craft(view: View) -> Updates:
    """The attacker's honest update times a negative factor."""
    return FACTOR * view.trained


ATTACK = Attack("Li et al., AAAI 2019", "sends five times its update, reversed", craft=craft, alters_own=True)
