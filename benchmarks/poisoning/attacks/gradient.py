"""Gradient-based adaptive attackers.

Training on poison from the accepted side, with a penalty that is raised while the rule objects.

After the optimisation attacks of Fang et al. (USENIX Security 2020) and Carlini and Wagner's penalty method (IEEE S&P
2017).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.poisoning.attacks import label_flip, targeted_flip
from benchmarks.poisoning.attacks.rule_aware import largest_passing
from benchmarks.poisoning.kinds import Attack, Generator, Poison, Stamp, Updates, View
from benchmarks.poisoning.search import within

if TYPE_CHECKING:
    import torch

STEPS = 4
"""Bisections of the share of poisoned records; each trains anew from the honest mean."""


def craft(view: View, poison: Poison) -> Updates:
    """The largest share of poisoned records whose model the rule takes, trained from the honest mean in the budget."""
    benign = within(np.concatenate([view.honest, view.train(None)]).mean(axis=0), view.radius)
    low = 0.0
    high = 1.0
    best = benign
    for _ in range(STEPS):
        share = (low + high) / 2
        trained = view.train(partial(_partly, poison=poison, share=share), 2, radius=view.radius, start=benign).mean(
            axis=0
        )
        if view.accepted(view.everyone(trained)):
            low = share
            best = trained
        else:
            high = share
    worst = view.train(poison, 2, radius=view.radius, start=best).mean(axis=0)
    return view.everyone(largest_passing(view, best, worst))


def _partly(
    inputs: torch.Tensor,
    labels: torch.Tensor,
    attacker: int,
    rng: Generator,
    stamp: Stamp,
    *,
    poison: Poison,
    share: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    changed, relabelled = poison(inputs, labels, attacker, rng, stamp)
    chosen = torch.from_numpy(rng.random(len(labels)) < share)
    return torch.where(chosen.view(-1, *(1,) * (inputs.dim() - 1)), changed, inputs), torch.where(
        chosen, relabelled, labels
    )


PAPER = "after Fang et al., USENIX Security 2020"
FLIP = Attack(
    PAPER, "a label flip optimised against the rule", craft=partial(craft, poison=label_flip.flip), adaptive=True
)
TARGETED = Attack(
    PAPER, "a targeted flip optimised against the rule", craft=partial(craft, poison=targeted_flip.flip), adaptive=True
)
