"""Verification of a large model by projections gives under encryption what the reference gives, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import EngineFailed
from pipeline.mpc import reference_projected
from pipeline.mpc.engines.base import Engine, ProjectedTask, VerifyOutput
from pipeline.mpc.engines.mp_spdz.engine import NODES, MpSpdz
from pipeline.mpc.engines.spu.engine import Spu
from pipeline.site.settings import Settings
from tests.support.large import HONEST_NORM, SEED, honest_names, hostile_updates, run_projected
from tests.support.parties import deal

BUDGETS = {"first round": None, "later round": HONEST_NORM, "small beside the budget": 8 * HONEST_NORM}


@pytest.mark.mp_spdz
@pytest.mark.parametrize("protocol", NODES)
def test_mp_spdz_equals_the_reference_in_the_first_round_and_later(protocol: str, tmp_path: Path) -> None:
    engine = MpSpdz(Settings.load())
    for budget in BUDGETS.values():
        _equals_the_reference(engine, protocol, NODES[protocol], budget, tmp_path / str(budget))


@pytest.mark.mp_spdz
def test_a_node_that_projects_an_altered_component_ends_the_verification_at_every_node(tmp_path: Path) -> None:
    updates = {name: update for name, update in hostile_updates().items() if name in honest_names()[:3]}
    dealt = deal(updates, 3)
    first = next(iter(updates))
    dealt[1] = {**dealt[1], first: {k: words + np.int64(k == 2) for k, words in dealt[1][first].items()}}
    engine = MpSpdz(Settings.load())
    outcomes = run_projected(
        engine, "replicated-ring", ProjectedTask(tuple(updates), None, SEED), updates, 3, tmp_path / "run", dealt
    )
    assert all(isinstance(outcome, EngineFailed) for outcome in outcomes)
    assert "altered components" in " ".join(map(str, outcomes))


@pytest.mark.spu
@pytest.mark.parametrize("budget", BUDGETS.values(), ids=BUDGETS)
def test_spu_equals_the_reference(budget: int | None, tmp_path: Path) -> None:
    _equals_the_reference(Spu(), "aby3", 3, budget, tmp_path)


def _equals_the_reference(engine: Engine, protocol: str, nodes: int, budget: int | None, folder: Path) -> None:
    updates = hostile_updates()
    task = ProjectedTask(tuple(updates), budget, SEED)
    accepted, following = reference_projected.verify(task, updates)
    small = ["against"] if budget == BUDGETS["small beside the budget"] else []
    assert [name for name, bit in zip(updates, accepted, strict=True) if bit] == honest_names() + small
    for output in run_projected(engine, protocol, task, updates, nodes, folder):
        assert isinstance(output, VerifyOutput), output
        assert (output.accepted, output.budget) == (accepted, following)
