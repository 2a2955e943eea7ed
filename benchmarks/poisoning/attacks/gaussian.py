"""Gaussian noise instead of an update.

Blanchard et al., Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent, NeurIPS 2017 (Gaussian
Byzantine workers).
"""

from __future__ import annotations

from benchmarks.poisoning.kinds import Attack, Updates, View

DEVIATION = 0.3


def craft(view: View) -> Updates:
    """Independent normal coordinates."""
    return view.rng.normal(0.0, DEVIATION, view.trained.shape)


ATTACK = Attack("Blanchard et al., NeurIPS 2017", "sends noise of deviation 0.3 per weight", craft=craft)
