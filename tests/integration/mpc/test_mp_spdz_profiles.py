"""Where the nodes are far from one another, the program is laid out for few rounds.

Whatever its layout, it says the same.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.layers import Network
from pipeline.layers.avg_pool2d import AvgPool2d
from pipeline.layers.conv2d import Conv2d
from pipeline.layers.flatten import Flatten
from pipeline.layers.linear import Linear
from pipeline.layers.relu import ReLU
from pipeline.mpc import reference
from pipeline.mpc.engines.base import Task, VerifyOutput
from pipeline.mpc.engines.mp_spdz.engine import MpSpdz
from pipeline.mpc.engines.mp_spdz.profiles import Profile
from pipeline.setup.engine.bench import measure
from pipeline.site.settings import Settings
from tests.support.parties import make_parties, outcomes_of, run_parties
from tests.support.relay import delayed
from tests.support.tasks import LOGISTIC, SMALL_CNN, random_round

pytestmark = pytest.mark.mp_spdz

IMAGES = Network(
    (2, 8, 8), (Conv2d(3, 3, padding=1), AvgPool2d(2), ReLU(), Conv2d(2, 2, stride=2), Flatten(), Linear(3))
)


@pytest.fixture(scope="module")
def settings() -> Settings:
    return Settings.load()


def test_the_layout_of_few_rounds_gives_the_verdicts_of_the_reference(settings: Settings, tmp_path: Path) -> None:
    task, payloads = random_round(IMAGES, hospitals=4, samples=6, seed=5)
    for output in run_parties(MpSpdz(settings, Profile.WAN), "replicated-ring", task, payloads, tmp_path):
        assert isinstance(output, VerifyOutput)
        assert (output.accepted, output.budget) == reference.verify(task, payloads)


def test_five_models_of_the_small_cnn_on_64_images_take_at_most_100_rounds(settings: Settings, tmp_path: Path) -> None:
    task, payloads = random_round(SMALL_CNN, hospitals=4, samples=16)
    for output in run_parties(MpSpdz(settings, Profile.WAN), "replicated-ring", task, payloads, tmp_path):
        assert isinstance(output, VerifyOutput)
        assert (output.accepted, output.budget) == reference.verify(task, payloads)
        assert output.stats.rounds is not None
        assert output.stats.rounds <= 100


def test_one_slow_connection_makes_all_parties_choose_the_layout_of_few_rounds(
    settings: Settings, tmp_path: Path
) -> None:
    chosen: list[Profile] = []

    class Watched(MpSpdz):
        def _compiled(self, protocol: str, task: Task, profile: Profile) -> Path:
            chosen.append(profile)
            return super()._compiled(protocol, task, profile)

    task, payloads = random_round(LOGISTIC, hospitals=3, samples=4)
    members = make_parties(3, tmp_path)
    with delayed(members, 0.01, between=(1, 2)) as apart:
        for output in outcomes_of(Watched(settings), "replicated-ring", task, payloads, apart):
            assert isinstance(output, VerifyOutput)
            assert (output.accepted, output.budget) == reference.verify(task, payloads)
    assert chosen == [Profile.WAN] * 3


def test_the_bench_of_this_machine_measures_both_layouts_and_says_what_a_distance_costs(settings: Settings) -> None:
    near, distant = measure(settings)
    assert (near.profile, distant.profile) == (Profile.LAN, Profile.WAN)
    assert distant.rounds < near.rounds
    assert near.megabytes > 0
    assert near.expected(0.04) == near.wall_seconds + near.rounds * 0.02
