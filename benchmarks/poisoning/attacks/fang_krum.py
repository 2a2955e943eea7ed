"""Fang's attack on Krum: the largest step against the honest direction that Krum would still choose.

Fang, Cao, Jia, Gong, Local Model Poisoning Attacks to Byzantine-Robust Federated Learning, USENIX Security 2020.
"""

from __future__ import annotations

import numpy as np

from benchmarks.poisoning.defences.multi_krum import scores
from benchmarks.poisoning.kinds import Attack, Updates, View

HALVINGS = 25


def craft(view: View) -> Updates:
    """Minus lambda times the sign of the honest mean, lambda halved until Krum chooses it."""
    sign = np.sign(view.honest.mean(axis=0))
    step = 10 * float(np.sqrt((view.honest**2).sum(axis=1).max() / len(sign)))
    for _ in range(HALVINGS):
        chosen = int(np.argmin(scores(np.concatenate([view.honest, view.everyone(-step * sign)]), view.attackers)))
        if chosen >= len(view.honest):
            break
        step /= 2
    return view.everyone(-step * sign)


ATTACK = Attack("Fang et al., USENIX Security 2020", "the largest reversed step that Krum would choose", craft=craft)
