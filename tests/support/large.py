"""A round of large models for tests: somebody breaks each part of the rule, as projections and peers see it."""

from __future__ import annotations

from pipeline.domain import HospitalName, Sha256
from pipeline.layers import Network
from pipeline.layers.linear import Linear
from pipeline.layers.relu import ReLU
from pipeline.mpc.engines.base import ProjectedTask
from tests.support.hostile import hostile_round
from tests.support.tasks import Words

SEED = Sha256("5e" * 32)
NETWORK = Network((30,), (Linear(152), ReLU(), Linear(2)))
"""5,018 parameters: two blocks of projections, and nothing of the checks depends on more."""
HONEST_NORM = int(6.34 * 2**32)
"""About the squared norm of an honest update."""


def hostile_large_round(
    budget: int | None, network: Network = NETWORK
) -> tuple[ProjectedTask, dict[HospitalName, Words]]:
    """`hostile_round` with three more, and where the worse model answers with the rarer class.

    The update of one wraps, and that of another is against the others and shorter than they are; one is honest,
    so that half of all still are.
    """
    task, payloads = hostile_round(network, budget)
    payloads[HospitalName("worse")][network.size - 1] *= -1
    for number, name in enumerate(("honest-5", "wrapping", "timid"), 1):
        payloads[HospitalName(name)] = payloads[HospitalName(f"honest-{number}")].copy()
    payloads[HospitalName("wrapping")][7] = 1 << 32
    payloads[HospitalName("timid")][: network.size] //= -2
    return ProjectedTask(tuple(payloads), network, task.rule, task.previous_model, SEED), payloads


def honest_names(budget: int | None) -> list[HospitalName]:
    """Those of `hostile_large_round` that the rule accepts under this budget.

    A coordinate at the cap is judged by the norm that it makes, and a push that is small beside the budget is none,
    unless it is shorter than the others.
    """
    wide = ["wide"] if budget is None or 8 * budget > 5 * 4 * HONEST_NORM else []
    against = ["against"] if budget is not None and budget > HONEST_NORM else []
    honest = [f"honest-{number}" for number in range(1, 6)]
    return [HospitalName(name) for name in (*honest, "dark", *wide, *against, "label")]
