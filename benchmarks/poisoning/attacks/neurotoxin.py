"""Neurotoxin: a backdoor in the coordinates that the honest hospitals hardly move, so that they do not train it away.

Zhang et al., Neurotoxin: Durable Backdoors in Federated Learning, ICML 2022.
"""

from __future__ import annotations

import numpy as np

from benchmarks.poisoning.attacks import badnets
from benchmarks.poisoning.kinds import Attack, Updates, View

AVOIDED = 0.1
"""Share of coordinates, those that the last round moved most, which the attackers leave alone."""


def craft(view: View) -> Updates:
    """Backdoor training projected onto the other coordinates; in the first round nothing is known of any."""
    moved = np.abs(view.previous)
    allowed = moved <= np.quantile(moved, 1 - AVOIDED)
    return view.train(badnets.poison, 3, allowed=allowed)


ATTACK = Attack(
    "Zhang et al., ICML 2022", "a backdoor in the coordinates that others leave alone", harm="backdoor", craft=craft
)
