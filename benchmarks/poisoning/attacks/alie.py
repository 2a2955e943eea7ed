"""A Little Is Enough: within the honest updates' spread, but all on one side.

Baruch, Baruch, Goldberg, A Little Is Enough: Circumventing Defenses For Distributed Learning, NeurIPS 2019.
"""

from __future__ import annotations

from benchmarks.poisoning.kinds import Attack, Updates, View

DEVIATIONS = 1.5
"""The paper's z for the usual numbers of workers lies between 0.3 and 1.5; the strongest is taken."""


def craft(view: View) -> Updates:
    """Honest mean minus z standard deviations in each coordinate."""
    return view.everyone(view.honest.mean(axis=0) - DEVIATIONS * view.honest.std(axis=0, ddof=1))


ATTACK = Attack("Baruch et al., NeurIPS 2019", "honest mean minus 1.5 deviations", craft=craft)
