"""Not the verdicts alone: counts, norms, inner products and every single condition are the reference's."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import EngineFailed
from pipeline.mpc import reference
from pipeline.mpc.engines.mp_spdz.engine import MpSpdz
from pipeline.mpc.engines.mp_spdz.profiles import Profile
from pipeline.site.settings import Settings
from tests.support.hostile import hostile_round
from tests.support.opened import Opened, differences, explanations
from tests.support.parties import make_parties, outcomes_of
from tests.support.tasks import LOGISTIC, MLP, random_round

pytestmark = pytest.mark.mp_spdz


@pytest.fixture(scope="module")
def settings() -> Settings:
    return Settings.load()


@pytest.mark.parametrize("profile", Profile)
@pytest.mark.parametrize("budget", [None, 4 << 34], ids=["first round", "later round"])
def test_every_quantity_of_a_round_in_which_everything_is_broken_is_the_reference_s(
    settings: Settings, budget: int | None, profile: Profile, tmp_path: Path
) -> None:
    task, payloads = hostile_round(MLP, budget)
    expected = reference.explain(task, payloads)
    for found, _ in explanations(Opened(settings, profile), "replicated-ring", task, payloads, tmp_path):
        assert differences(found, expected) == []


def test_every_quantity_under_rep4_ring_is_the_reference_s(settings: Settings, tmp_path: Path) -> None:
    task, payloads = hostile_round(LOGISTIC, None)
    expected = reference.explain(task, payloads)
    for found, _ in explanations(Opened(settings, Profile.LAN), "rep4-ring", task, payloads, tmp_path):
        assert differences(found, expected) == []


def test_no_node_runs_the_program_that_opens_everything_with_another_one(settings: Settings, tmp_path: Path) -> None:
    task, payloads = random_round(LOGISTIC, hospitals=3, samples=4)
    curious = Opened(settings, Profile.LAN)
    engines = [MpSpdz(settings, Profile.LAN), curious, MpSpdz(settings, Profile.LAN)]
    outcomes = outcomes_of(engines, "replicated-ring", task, payloads, make_parties(3, tmp_path))
    assert all(isinstance(outcome, EngineFailed) for outcome in outcomes)
    assert "its program differs" in " ".join(map(str, outcomes))
