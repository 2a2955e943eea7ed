"""Mimic: all attackers copy the one honest hospital that lies farthest out, so that it weighs too much.

Karimireddy, He, Jaggi, Byzantine-Robust Learning on Heterogeneous Datasets via Bucketing, ICLR 2022.
"""

from __future__ import annotations

import numpy as np

from benchmarks.poisoning.kinds import Attack, Updates, View


def craft(view: View) -> Updates:
    """The honest update with the largest part along the honest updates' first principal direction."""
    centred = view.honest - view.honest.mean(axis=0)
    along = np.linalg.svd(centred, full_matrices=False)[0][:, 0]
    return view.everyone(view.honest[int(np.argmax(np.abs(along)))])


ATTACK = Attack("Karimireddy et al., ICLR 2022", "all copy one outlying honest hospital", harm="none", craft=craft)
