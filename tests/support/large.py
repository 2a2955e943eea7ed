"""Updates of large models for tests of the checks on projections: of every kind that the rule treats differently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from pipeline.domain import HospitalName, Sha256
from pipeline.errors import EngineFailed
from pipeline.mpc.engines.base import Components, Engine, ProjectedTask, VerifyOutput
from pipeline.mpc.projections import project
from pipeline.mpc.sharing import Vector
from tests.support.parties import deal, make_parties

SEED = Sha256("5e" * 32)
LENGTH = 5000
HONEST_NORM = 1 << 34
"""About the squared norm of an honest update: 4.0."""


def hostile_updates() -> dict[HospitalName, Vector]:
    """Six honest hospitals and one for each part of the checks."""
    generator = np.random.default_rng(3)
    common = generator.standard_normal(LENGTH)
    updates = {}
    for name in (*(f"honest-{number}" for number in range(1, 7)), "wrapping", "huge", "lazy", "timid", "against"):
        direction = common + 0.5 * generator.standard_normal(LENGTH)
        update = (direction * np.sqrt(HONEST_NORM) / np.linalg.norm(direction)).astype(np.int64)
        match name:
            case "wrapping":
                update[7] = 1 << 32
            case "huge":
                update *= 4
            case "lazy":
                update //= 64
            case "timid":
                # against the others, and shorter than they are
                update = -update // 2
            case "against":
                update = -update
        updates[HospitalName(name)] = update
    return updates


def honest_names() -> list[HospitalName]:
    """Those of `hostile_updates` that the rule accepts."""
    return [name for name in hostile_updates() if name.startswith("honest")]


def run_projected(
    engine: Engine,
    protocol: str,
    task: ProjectedTask,
    updates: Mapping[HospitalName, Vector],
    nodes: int,
    folder: Path,
    dealt: Sequence[Components] | None = None,
) -> Sequence[VerifyOutput | EngineFailed]:
    """What each node learns, or why it does not, each having projected its own components."""
    parties = make_parties(nodes, folder)
    dealt = dealt or deal(updates, nodes)

    def one(index: int) -> VerifyOutput | EngineFailed:
        held = dealt[index]
        projected = {
            name: dict(zip(parts, project(list(parts.values()), LENGTH, task.seed), strict=True))
            for name, parts in held.items()
        }
        try:
            return engine.verify_projected(protocol, task, projected, parties[index])
        except EngineFailed as error:
            return error

    with ThreadPoolExecutor(nodes) as threads:
        return list(threads.map(one, range(nodes)))
