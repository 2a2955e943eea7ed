"""Model replacement: a backdoored update scaled up so that it survives the average.

Bagdasaryan, Veit, Hua, Estrin, Shmatikov, How To Backdoor Federated Learning, AISTATS 2020.
"""

from __future__ import annotations

from benchmarks.poisoning.attacks import badnets
from benchmarks.poisoning.kinds import Attack, Updates, View


def craft(view: View) -> Updates:
    """The backdoored update times hospitals over attackers."""
    return view.trained * (view.hospitals / view.attackers)


ATTACK = Attack(
    "Bagdasaryan et al., AISTATS 2020",
    "a backdoored update scaled to replace the average",
    harm="backdoor",
    poison=badnets.poison,
    effort=3,
    craft=craft,
)
