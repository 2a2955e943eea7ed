"""Rule-aware attackers: they know the rule, its thresholds and every honest update.

And send the worst mix that it lets pass.

After Fang et al. (USENIX Security 2020) and Shejwalkar and Houmansadr (NDSS 2021), full knowledge, with Wardround's
rule as the target.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.poisoning.attacks import badnets, label_flip, targeted_flip
from benchmarks.poisoning.kinds import Attack, Poison, Update, Updates, View
from benchmarks.poisoning.search import within

MIXES = (1.0, 0.85, 0.7, 0.55, 0.4, 0.3, 0.2, 0.1)
PAPER = "after Fang et al., USENIX Security 2020"


def craft(view: View, poison: Poison) -> Updates:
    """The largest share of poison, from a grid, that would pass from all attackers at once.

    Colluders average theirs.
    """
    worst = view.train(poison, 3, radius=view.radius).mean(axis=0)
    benign = np.concatenate([view.honest, view.train(None)]).mean(axis=0)
    return view.everyone(largest_passing(view, benign, worst))


def largest_passing(view: View, benign: Update, worst: Update) -> Update:
    """On the way from a benign update to the worst one, the last that the rule would take, else the benign one."""
    for share in MIXES:
        update = within((1 - share) * benign + share * worst, view.radius)
        if view.accepted(view.everyone(update)):
            return update
    return within(benign, view.radius)


def _attack(summary: str, poison: Poison, harm: str = "accuracy") -> Attack:
    return Attack(PAPER, summary, harm=harm, craft=partial(craft, poison=poison), adaptive=True)


FLIP = _attack("the largest share of a label flip that the rule takes", label_flip.flip)
TARGETED = _attack("the largest share of a targeted flip that the rule takes", targeted_flip.flip)
BACKDOOR = _attack("the largest share of a backdoor that the rule takes", badnets.poison, "backdoor")
