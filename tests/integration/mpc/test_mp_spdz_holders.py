"""A node that alters what it was dealt is caught inside the programs, before anything is computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import EngineFailed
from pipeline.layers import Network
from pipeline.layers.linear import Linear
from pipeline.mpc.engines.base import AggregateTask
from pipeline.mpc.engines.mp_spdz.engine import NODES, MpSpdz
from pipeline.site.settings import Settings
from tests.support.parties import deal, make_parties, outcomes_of
from tests.support.tasks import random_round

pytestmark = pytest.mark.mp_spdz

NETWORK = Network((3,), (Linear(2),))


@pytest.fixture(scope="module")
def engine() -> MpSpdz:
    return MpSpdz(Settings.load())


@pytest.mark.parametrize(
    ("protocol", "party"), [(protocol, party) for protocol, nodes in NODES.items() for party in range(nodes)]
)
def test_one_altered_component_at_one_node_ends_the_verification_at_every_node(
    engine: MpSpdz, protocol: str, party: int, tmp_path: Path
) -> None:
    task, payloads = random_round(NETWORK, hospitals=3, samples=4)
    dealt = deal(payloads, NODES[protocol])
    component = (party + 1 + party % 2) % NODES[protocol]
    words = dealt[party][task.hospitals[1]][component].copy()
    # the highest bit of one word: half of all multiples of it vanish in Z_2^64
    words[(7 * party) % len(words)] ^= np.int64(-(2**63))
    dealt[party] = {**dealt[party], task.hospitals[1]: {**dealt[party][task.hospitals[1]], component: words}}
    outcomes = outcomes_of(engine, protocol, task, payloads, make_parties(NODES[protocol], tmp_path), dealt)
    assert all(isinstance(outcome, EngineFailed) for outcome in outcomes)
    assert "altered components" in " ".join(map(str, outcomes))


def test_two_alterations_of_one_node_that_cancel_in_the_sum_are_caught(engine: MpSpdz, tmp_path: Path) -> None:
    task, payloads = random_round(NETWORK, hospitals=3, samples=4)
    dealt = deal(payloads, 3)
    first = task.hospitals[0]
    both = {k: words + np.int64(1 if k == 1 else -1) for k, words in dealt[0][first].items()}
    dealt[0] = {**dealt[0], first: both}
    outcomes = outcomes_of(engine, "replicated-ring", task, payloads, make_parties(3, tmp_path), dealt)
    assert all(isinstance(outcome, EngineFailed) for outcome in outcomes)


def test_an_altered_component_ends_the_aggregation_too(engine: MpSpdz, tmp_path: Path) -> None:
    task, payloads = random_round(NETWORK, hospitals=3, samples=4)
    dealt = deal(payloads, 3)
    name = task.hospitals[2]
    dealt[1] = {**dealt[1], name: {k: words + np.int64(k == 2) for k, words in dealt[1][name].items()}}
    work = AggregateTask(task.hospitals, NETWORK.size)
    outcomes = outcomes_of(engine, "replicated-ring", work, payloads, make_parties(3, tmp_path), dealt)
    assert all(isinstance(outcome, EngineFailed) for outcome in outcomes)
