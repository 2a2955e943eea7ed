"""Free rider: takes the global model, sends nothing.

Fraboni, Vidal, Lorenzi, Free-rider Attacks on Model Aggregation in Federated Learning, AISTATS 2021.
"""

from __future__ import annotations

import numpy as np

from benchmarks.poisoning.kinds import Attack, Updates, View


def craft(view: View) -> Updates:
    """Zeros."""
    return np.zeros_like(view.trained)


ATTACK = Attack("Fraboni et al., AISTATS 2021", "sends an update of zeros", harm="none", craft=craft)
