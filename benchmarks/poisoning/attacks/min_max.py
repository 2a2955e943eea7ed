"""Min-Max and Min-Sum: as far from the honest mean as the honest updates are from one another.

Shejwalkar, Houmansadr, Manipulating the Byzantine: Optimizing Model Poisoning Attacks and Defenses for Federated
Learning, NDSS 2021.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.poisoning.kinds import Attack, Update, Updates, View
from benchmarks.poisoning.search import largest, squared_distances


def min_max(view: View) -> Updates:
    """The largest distance to an honest update is at most the largest between two of them."""
    limit = squared_distances(view.honest).max()
    return _along_deviation(view, lambda update: bool(((view.honest - update) ** 2).sum(axis=1).max() <= limit))


def min_sum(view: View) -> Updates:
    """The sum of squared distances is at most that of an honest update."""
    limit = squared_distances(view.honest).sum(axis=1).max()
    return _along_deviation(view, lambda update: bool(((view.honest - update) ** 2).sum() <= limit))


def _along_deviation(view: View, unsuspicious: Callable[[Update], bool]) -> Updates:
    mean = view.honest.mean(axis=0)
    deviation = view.honest.std(axis=0, ddof=1)
    factor = largest(lambda gamma: unsuspicious(mean - gamma * deviation), 50.0)
    return view.everyone(mean - factor * deviation)


MIN_MAX = Attack("Shejwalkar and Houmansadr, NDSS 2021", "as far out as the largest honest distance", craft=min_max)
MIN_SUM = Attack(
    "Shejwalkar and Houmansadr, NDSS 2021", "as far out as the largest honest sum of distances", craft=min_sum
)
