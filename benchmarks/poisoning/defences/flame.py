"""FLAME: the largest cluster by cosine, clipped to the median norm, with a little noise.

Nguyen et al., FLAME: Taming Backdoors in Federated Learning, USENIX Security 2022. Average linkage up to the first
cluster of a majority stands for the paper's HDBSCAN with min_cluster_size n/2 + 1.
"""

from __future__ import annotations

import numpy as np

from benchmarks.poisoning.kinds import Outcome, Seen
from benchmarks.poisoning.search import clipped

NOISE = 0.001
"""Deviation per coordinate as a part of the median norm."""


def flame(seen: Seen) -> Outcome:
    """Mean of the majority cluster."""
    # A second that no other defence is to pay.
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    norms = np.maximum(np.linalg.norm(seen.updates, axis=1), 1e-12)
    unit = seen.updates / norms[:, None]
    distance = np.clip(1 - unit @ unit.T, 0, 2)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average")
    kept = np.ones(len(norms), dtype=bool)
    for height in tree[:, 2]:
        labels = fcluster(tree, height + 1e-9, "distance")
        if np.bincount(labels).max() > len(norms) // 2:
            kept = labels == np.bincount(labels).argmax()
            break
    bound = float(np.median(norms))
    mean = clipped(seen.updates, bound)[kept].mean(axis=0)
    return Outcome(mean + seen.rng.normal(0.0, NOISE * bound, mean.shape), kept)
