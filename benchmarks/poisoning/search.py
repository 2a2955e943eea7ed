"""Numeric helpers of attacks and defences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.poisoning.kinds import Update, Updates


def largest(holds: Callable[[float], bool], highest: float, halvings: int = 25) -> float:
    """The largest number in [0, highest] for which a monotone condition holds, by bisection."""
    low = 0.0
    high = highest
    for _ in range(halvings):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def within(update: Update, radius: float) -> Update:
    """The update, shortened to `radius` where it is longer."""
    norm = float(np.linalg.norm(update))
    return update * min(1.0, radius / norm) if norm else update


def clipped(updates: Updates, radius: float) -> Updates:
    """Each update, shortened to `radius` where it is longer."""
    norms = np.maximum(np.linalg.norm(updates, axis=1, keepdims=True), 1e-30)
    return np.asarray(updates * np.minimum(1.0, radius / norms))


def squared_distances(updates: Updates) -> Updates:
    """(n, n), between every two updates."""
    norms = (updates**2).sum(axis=1)
    return np.asarray(np.maximum(norms[:, None] + norms[None] - 2 * updates @ updates.T, 0))
