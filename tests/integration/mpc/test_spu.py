"""Three real SPU processes give what the reference gives, bit for bit, and open nothing else."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.domain import HospitalName
from pipeline.layers import Network
from pipeline.layers.conv2d import Conv2d
from pipeline.layers.flatten import Flatten
from pipeline.layers.linear import Linear
from pipeline.layers.max_pool2d import MaxPool2d
from pipeline.layers.relu import ReLU
from pipeline.mpc import reference, rule
from pipeline.mpc.engines.base import AggregateOutput, AggregateTask, RuleParameters, VerifyOutput, VerifyTask
from pipeline.mpc.engines.spu.engine import Spu
from tests.support.hostile import hostile_round
from tests.support.opened_spu import differences
from tests.support.parties import make_parties, run_parties
from tests.support.tasks import (
    LOGISTIC,
    MLP,
    ONE,
    RESIDUAL,
    SMALL_CNN,
    Words,
    in_later_round,
    payload,
    random_round,
    with_update,
)

pytestmark = pytest.mark.spu


def _verify(task: VerifyTask, payloads: dict[HospitalName, Words], folder: Path) -> list[VerifyOutput]:
    outputs = run_parties(Spu(), "aby3", task, payloads, folder)
    return [output for output in outputs if isinstance(output, VerifyOutput)]


def _assert_equals_reference(
    task: VerifyTask, payloads: dict[HospitalName, Words], folder: Path
) -> reference.Verification:
    expected = reference.explain(task, payloads)
    outputs = _verify(task, payloads, folder)
    assert [(output.accepted, output.budget) for output in outputs] == [(expected.accepted, expected.budget)] * 3
    return expected


def _mixed_round(
    network: Network, samples: int, updates_in_budget: int | None = None
) -> tuple[VerifyTask, dict[HospitalName, Words]]:
    """A round in which hospitals are rejected for their range, size and direction.

    `updates_in_budget` is how many squared norms of the common update the budget is; None for a first round.
    """
    task, payloads = random_round(network, 9, samples, None, seed=5)
    common = payloads[task.hospitals[0]][: network.size]
    if updates_in_budget is not None:
        budget = updates_in_budget * int(common.astype(object) @ common.astype(object))
        task = replace(task, rule=replace(task.rule, budget=budget))
    for place in range(1, 5):
        payloads = with_update(payloads, place, common + place)
    wild = common.copy()
    wild[0] = -(2**63)
    payloads = with_update(payloads, 5, wild)
    payloads = with_update(payloads, 6, -common)
    payloads = with_update(payloads, 7, -common // 2)
    return task, with_update(payloads, 8, np.zeros_like(common))


@pytest.mark.parametrize("network", [LOGISTIC, MLP], ids=["logistic", "mlp"])
@pytest.mark.parametrize("updates", [None, 2, 16], ids=["first round", "later round", "small beside the budget"])
def test_the_verdicts_of_a_round_with_every_kind_of_update_equal_the_reference(
    network: Network, updates: int | None, tmp_path: Path
) -> None:
    expected = _assert_equals_reference(*_mixed_round(network, 8, updates), tmp_path)
    assert expected.in_range.count(False) == 1
    assert expected.size.count(False) == 2
    assert expected.direction[6:8] == (updates == 16, False), "only what is no shorter than the others has a margin"
    assert any(expected.accepted)


@pytest.mark.parametrize("budget", [None, 2**40], ids=["first round", "later round"])
def test_the_small_cnn_equals_the_reference(budget: int | None, tmp_path: Path) -> None:
    _assert_equals_reference(*random_round(SMALL_CNN, 5, 8, budget, seed=6), tmp_path)


def test_three_classes_maxima_and_a_strided_padded_convolution_equal_the_reference(tmp_path: Path) -> None:
    network = Network((2, 11, 11), (Conv2d(3, 3, stride=2, padding=1), MaxPool2d(3), ReLU(), Flatten(), Linear(3)))
    _assert_equals_reference(*random_round(network, 4, 6, None, seed=7, scale=0.5), tmp_path)


def test_blocks_ceilings_and_averages_of_channels_equal_the_reference(tmp_path: Path) -> None:
    _assert_equals_reference(*random_round(RESIDUAL, 4, 6, None, seed=7, scale=0.5), tmp_path)


def test_a_peer_verdict_equals_the_reference(tmp_path: Path) -> None:
    network = Network((2,), (Linear(2),))
    names = tuple(HospitalName(f"h{place}") for place in range(3))
    inputs = np.array([[200, 50], [50, 200], [150, 10], [10, 150]])
    honest = np.array([ONE, -ONE, -ONE, ONE, 0, 0]) // 4
    always_first = np.array([0, 0, 0, 0, ONE // 2, -ONE // 2])
    payloads = {name: payload(honest, inputs, [0, 1, 0, 1]) for name in names[:2]}
    payloads[names[2]] = payload(always_first, inputs, [0, 1, 0, 1])
    task = VerifyTask(names, network, RuleParameters(4, (0, 255), 20, 20, None), np.array([ONE, 0, 0, ONE, 0, 0]))
    expected = _assert_equals_reference(task, payloads, tmp_path)
    assert expected.peers == (True, True, False)
    assert expected.size == expected.direction == (True, True, True)


def test_a_verdict_on_the_weakest_class_equals_the_reference(tmp_path: Path) -> None:
    network = Network((3,), (Linear(3),))
    names = tuple(HospitalName(f"h{place}") for place in range(4))
    inputs = 200 * np.tile(np.eye(3, dtype=np.int64), (4, 1))
    labels = [0, 1, 2] * 4
    honest = np.concatenate([np.eye(3).ravel() * ONE // 4, np.zeros(3)]).astype(np.int64)
    without_last = honest + np.array([0] * 9 + [0, 0, -3 * ONE])
    payloads = {name: payload(honest, inputs, labels, 3) for name in names[:3]}
    payloads[names[3]] = payload(without_last // 2, inputs, labels, 3)
    numbers = RuleParameters(12, (0, 255), 40, 40, 2**34)
    task = VerifyTask(
        names, network, numbers, np.concatenate([np.eye(3).ravel() * ONE // 8, np.zeros(3)]).astype(np.int64)
    )
    expected = _assert_equals_reference(task, payloads, tmp_path / "strict")
    assert expected.size == expected.direction == (True,) * 4
    assert expected.peers == (True, True, True, False)
    loose = replace(numbers, weakest_class_below_global_percent=100, weakest_class_below_peers_percent=100)
    assert reference.explain(replace(task, rule=loose), payloads).peers == (True,) * 4


def test_invalid_samples_of_one_owner_equal_the_reference(tmp_path: Path) -> None:
    task, payloads = random_round(LOGISTIC, 5, 8, None, seed=8)
    size = LOGISTIC.size
    payloads[task.hospitals[0]][size + 3] = 256
    payloads[task.hospitals[1]][size + 3] = -(2**63)
    payloads[task.hospitals[2]][-2:] = (1, 1)
    payloads[task.hospitals[3]][-2:] = (2, -1)
    expected = _assert_equals_reference(task, payloads, tmp_path)
    assert expected.valid_owner == (False, False, False, False, True)


@pytest.mark.parametrize("budget", [None, 4 << 34], ids=["first round", "later round"])
@pytest.mark.parametrize("panel", [None, 4], ids=["tried by all", "tried by a panel"])
def test_every_count_norm_and_condition_of_a_round_in_which_everything_is_broken_is_the_reference_s(
    budget: int | None, panel: int | None, tmp_path: Path
) -> None:
    task, payloads = hostile_round(MLP, budget)
    task = replace(task, rule=replace(task.rule, panel=panel))
    assert differences(task, payloads, reference.explain(task, payloads), tmp_path) == []


def test_an_image_s_network_before_panels_equals_the_reference(tmp_path: Path) -> None:
    task, payloads = random_round(RESIDUAL, 5, 4, None, seed=7, scale=0.5)
    task = replace(task, rule=replace(task.rule, panel=3))
    assert differences(task, payloads, reference.explain(task, payloads), tmp_path) == []


def test_a_round_that_accepts_nobody_keeps_its_budget(tmp_path: Path) -> None:
    task, payloads = random_round(LOGISTIC, 3, 4, 7, seed=9)
    expected = _assert_equals_reference(in_later_round(task, 7), payloads, tmp_path)
    assert (expected.accepted, expected.budget) == ((False,) * 3, rule.LEAST_BUDGET)


@pytest.mark.parametrize("hospitals", [3, 4, 10])
def test_the_trimmed_mean_equals_the_reference(hospitals: int, tmp_path: Path) -> None:
    task, payloads = random_round(MLP, hospitals, 4, None, seed=10)
    generator = np.random.default_rng(10)
    for place in range(hospitals):
        payloads = with_update(payloads, place, generator.integers(-(2**18) + 1, 2**18, MLP.size))
    aggregation = AggregateTask(task.hospitals, MLP.size)
    total, count = reference.aggregate(aggregation, payloads)
    outputs = run_parties(Spu(), "aby3", aggregation, payloads, tmp_path)
    assert len(outputs) == 3
    for output in outputs:
        assert isinstance(output, AggregateOutput)
        assert output.count == count
        assert output.total.dtype == np.int64
        assert np.array_equal(output.total, total)


def test_the_verdict_does_not_depend_on_the_randomness_of_the_sharing(tmp_path: Path) -> None:
    task, payloads = _mixed_round(LOGISTIC, 8)
    found = {
        (output.accepted, output.budget) for run in ("a", "b") for output in _verify(task, payloads, tmp_path / run)
    }
    assert len(found) == 1


def test_a_run_states_its_costs_and_leaves_nothing_but_an_owners_log(tmp_path: Path) -> None:
    task, payloads = random_round(LOGISTIC, 3, 4, None, seed=11)
    parties = make_parties(3, tmp_path)
    of_this_process = b"x" * (400 << 20)
    outputs = run_parties(Spu(), "aby3", task, payloads, tmp_path, parties)
    for party, output in zip(parties, outputs, strict=True):
        assert list(party.workdir.iterdir()) == []
        assert stat.S_IMODE(os.stat(party.log).st_mode) == 0o600
        assert output.stats.cpu_seconds > 0
        assert output.stats.bytes_sent > 10_000
        assert 10_000_000 < output.stats.rss_bytes < len(of_this_process)


def test_a_prepared_shape_is_not_compiled_in_the_round(tmp_path: Path) -> None:
    engine = Spu(replace(Spu().settings, cache=tmp_path / "cache"))
    task, payloads = random_round(LOGISTIC, 3, 4, None, seed=12)
    engine.prepare("aby3", task)
    engine.prepare("aby3", AggregateTask(task.hospitals, LOGISTIC.size))
    prepared = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").glob("spu/*.bin")}
    run_parties(engine, "aby3", task, payloads, tmp_path / "a")
    run_parties(engine, "aby3", AggregateTask(task.hospitals, LOGISTIC.size), payloads, tmp_path / "b")
    assert len(prepared) == 2
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").glob("spu/*.bin")} == prepared


def test_a_changed_threshold_does_not_compile_the_program_again(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    engine = Spu(replace(Spu().settings, cache=cache))
    task, payloads = random_round(LOGISTIC, 3, 4, 2**36, seed=12)
    run_parties(engine, "aby3", task, payloads, tmp_path / "a")
    compiled = sorted(cache.glob("spu/*.bin"))
    other = replace(task.rule, budget=2**30, below_global_percent=15, weakest_class_below_peers_percent=30)
    run_parties(engine, "aby3", replace(task, rule=other), payloads, tmp_path / "b")
    assert len(compiled) == 1
    assert sorted(cache.glob("spu/*.bin")) == compiled
