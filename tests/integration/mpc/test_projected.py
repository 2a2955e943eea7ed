"""Verification of a large model gives under encryption what the reference gives, bit for bit: projections and peers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import EngineFailed
from pipeline.mpc import reference_projected
from pipeline.mpc.engines.base import Engine, VerifyOutput
from pipeline.mpc.engines.mp_spdz.engine import NODES, MpSpdz
from pipeline.mpc.engines.mp_spdz.profiles import Profile
from pipeline.mpc.engines.spu.engine import Spu
from pipeline.site.settings import Settings
from tests.support.large import HONEST_NORM, honest_names, hostile_large_round
from tests.support.parties import deal, make_parties, outcomes_of

PANEL = 5
BUDGETS = {"first round": None, "later round": HONEST_NORM, "small beside the budget": 8 * HONEST_NORM}


@pytest.mark.mp_spdz
@pytest.mark.parametrize("protocol", NODES)
def test_mp_spdz_equals_the_reference_in_the_first_round_and_later(protocol: str, tmp_path: Path) -> None:
    engine = MpSpdz(Settings.load(), Profile.LAN)
    for budget in BUDGETS.values():
        _equals_the_reference(engine, protocol, NODES[protocol], budget, tmp_path / str(budget))


@pytest.mark.mp_spdz
def test_it_does_so_where_rounds_are_dear(tmp_path: Path) -> None:
    _equals_the_reference(MpSpdz(Settings.load(), Profile.WAN), "replicated-ring", 3, HONEST_NORM, tmp_path)


@pytest.mark.mp_spdz
@pytest.mark.parametrize("profile", Profile)
def test_mp_spdz_equals_the_reference_where_each_model_has_a_panel(profile: Profile, tmp_path: Path) -> None:
    engine = MpSpdz(Settings.load(), profile)
    _equals_the_reference(engine, "replicated-ring", 3, HONEST_NORM, tmp_path, panel=PANEL)


@pytest.mark.spu
def test_spu_equals_the_reference_where_each_model_has_a_panel(tmp_path: Path) -> None:
    _equals_the_reference(Spu(), "aby3", 3, HONEST_NORM, tmp_path, panel=PANEL)


@pytest.mark.mp_spdz
@pytest.mark.parametrize("tampered", ["projections", "samples"])
def test_a_node_that_alters_a_component_of_anything_ends_the_verification_at_every_node(
    tampered: str, tmp_path: Path
) -> None:
    task, payloads = hostile_large_round(None)
    dealt = deal(payloads, 3)
    first = task.hospitals[0]
    # of an update its owner's projections are altered too
    word = 0 if tampered == "projections" else task.network.size + 3
    altered = dict(dealt[1][first])
    altered[2] = altered[2] + np.int64(1) * (np.arange(len(altered[2])) == word)
    dealt[1] = {**dealt[1], first: altered}
    engine = MpSpdz(Settings.load(), Profile.LAN)
    outcomes = outcomes_of(engine, "replicated-ring", task, payloads, make_parties(3, tmp_path), dealt)
    assert all(isinstance(outcome, EngineFailed) for outcome in outcomes)
    assert "altered components" in " ".join(map(str, outcomes))


@pytest.mark.spu
@pytest.mark.parametrize("budget", BUDGETS.values(), ids=BUDGETS)
def test_spu_equals_the_reference(budget: int | None, tmp_path: Path) -> None:
    _equals_the_reference(Spu(), "aby3", 3, budget, tmp_path)


def _equals_the_reference(
    engine: Engine, protocol: str, nodes: int, budget: int | None, folder: Path, panel: int | None = None
) -> None:
    task, payloads = hostile_large_round(budget)
    task = replace(task, rule=replace(task.rule, panel=panel))
    accepted, following = reference_projected.verify(task, payloads)
    assert set(honest_names(budget)) == {name for name, bit in zip(payloads, accepted, strict=True) if bit}
    # not while the parties' deadline runs
    engine.prepare(protocol, task)
    outputs = outcomes_of(engine, protocol, task, payloads, make_parties(nodes, folder))
    told = [(output.accepted, output.budget) if isinstance(output, VerifyOutput) else str(output) for output in outputs]
    assert told == [(accepted, following)] * nodes
