from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from pipeline.domain import HospitalName
from pipeline.layers import Network
from pipeline.layers.avg_pool2d import AvgPool2d
from pipeline.layers.conv2d import Conv2d
from pipeline.layers.flatten import Flatten
from pipeline.layers.linear import Linear
from pipeline.layers.max_pool2d import MaxPool2d
from pipeline.layers.relu import ReLU
from pipeline.mpc import reference, rule
from pipeline.mpc.engines.base import AggregateOutput, AggregateTask, VerifyOutput, VerifyTask
from pipeline.mpc.engines.mp_spdz import programs
from pipeline.mpc.engines.mp_spdz.engine import NODES, MpSpdz
from pipeline.site.settings import Settings
from tests.adversary import attack
from tests.support.hostile import answers, hostile_round
from tests.support.parties import make_parties, run_parties
from tests.support.tasks import LOGISTIC, MLP, RESIDUAL, SMALL_CNN, in_later_round, payload, random_round, with_update

pytestmark = pytest.mark.mp_spdz

Words = npt.NDArray[np.int64]

OTHER_SHAPES = {
    "colour, padding, stride": Network(
        (3, 9, 9),
        (Conv2d(4, 3, stride=2, padding=1), ReLU(), Conv2d(3, 2, padding=1), AvgPool2d(2), Flatten(), Linear(3)),
    ),
    "padded fold, late pool": Network(
        (2, 8, 8), (Conv2d(3, 3, padding=1), AvgPool2d(2), ReLU(), AvgPool2d(2), Flatten(), Linear(4))
    ),
    "pool first": Network((1, 8, 8), (AvgPool2d(4), Flatten(), Linear(5), ReLU(), Linear(3))),
    "maxima": Network(
        (3, 14, 14), (Conv2d(4, 3), ReLU(), MaxPool2d(2), Conv2d(3, 1), MaxPool2d(3), ReLU(), Flatten(), Linear(3))
    ),
    "blocks, ceilings, averages of channels": RESIDUAL,
}


@pytest.fixture(scope="session")
def engine() -> MpSpdz:
    made = MpSpdz(Settings.load())
    assert made.problems() == ()
    return made


def check(
    engine: MpSpdz, protocol: str, task: VerifyTask, payloads: dict[HospitalName, Words], folder: Path
) -> Sequence[VerifyOutput]:
    outputs = run_parties(engine, protocol, task, payloads, folder, count=NODES[protocol])
    accepted, budget = reference.verify(task, payloads)
    for output in outputs:
        assert isinstance(output, VerifyOutput)
        assert (output.accepted, output.budget) == (accepted, budget)
        assert output.stats.bytes_sent > 0
        assert output.stats.rounds
    return [output for output in outputs if isinstance(output, VerifyOutput)]


@pytest.mark.parametrize("protocol", NODES)
@pytest.mark.parametrize("budget", [None, 4 << 34], ids=["first round", "later round"])
@pytest.mark.parametrize("network", [LOGISTIC, MLP, SMALL_CNN], ids=["logistic", "mlp", "small cnn"])
def test_verdicts_and_budget_equal_the_reference_whatever_breaks_the_rule(
    engine: MpSpdz, network: Network, budget: int | None, protocol: str, tmp_path: Path
) -> None:
    task, payloads = hostile_round(network, budget)
    found = reference.explain(task, payloads)
    place = {name: index for index, name in enumerate(task.hospitals)}
    assert not found.in_range[place[HospitalName("wide")]]
    assert not any(found.size[place[HospitalName(name)]] for name in ("wide", "huge", "lazy"))
    assert not found.direction[place[HospitalName("against")]]
    assert not found.valid_owner[place[HospitalName("dark")]]
    assert not found.valid_owner[place[HospitalName("label")]]
    assert any(found.accepted)
    check(engine, protocol, task, payloads, tmp_path)


@pytest.mark.parametrize("protocol", NODES)
@pytest.mark.parametrize(("divisor", "accepted"), [(1, True), (2, False)], ids=["as long as the others", "shorter"])
def test_an_update_against_the_others_has_a_margin_where_it_is_not_shorter(
    engine: MpSpdz, divisor: int, accepted: bool, protocol: str, tmp_path: Path
) -> None:
    task, payloads = hostile_round(LOGISTIC, 4 << 36)
    against = task.hospitals.index(HospitalName("against"))
    update = payloads[task.hospitals[against]][: task.network.size]
    payloads = with_update(payloads, against, update // divisor)
    found = reference.explain(task, payloads)
    assert found.size[against]
    assert found.products[against] < 0
    assert found.direction[against] is accepted
    (output, *_) = check(engine, protocol, task, payloads, tmp_path)
    assert output.accepted[against] is found.accepted[against]


@pytest.mark.parametrize("protocol", NODES)
def test_a_model_that_answers_worse_is_rejected_by_the_peers_alone(
    engine: MpSpdz, protocol: str, tmp_path: Path
) -> None:
    task, payloads = hostile_round(LOGISTIC, 4 << 34)
    found = reference.explain(task, payloads)
    worse = task.hospitals.index(HospitalName("worse"))
    assert (found.size[worse], found.direction[worse], found.peers[worse]) == (True, True, False)
    (output, *_) = check(engine, protocol, task, payloads, tmp_path)
    assert not output.accepted[worse]


@pytest.mark.parametrize("protocol", NODES)
@pytest.mark.parametrize("network", OTHER_SHAPES.values(), ids=OTHER_SHAPES)
def test_every_layer_form_equals_the_reference_at_the_extremes_of_its_range(
    engine: MpSpdz, network: Network, protocol: str, tmp_path: Path
) -> None:
    task, payloads = random_round(network, hospitals=4, samples=6, seed=3)
    generator = np.random.default_rng(11)
    previous = rule.capped(generator.choice([-(1 << 18), (1 << 18) - 1, 1 << 18], network.size).astype(np.int64))
    for name in list(payloads)[:2]:
        inputs = generator.choice([0, 255], (6, *network.input_shape))
        payloads[name] = payload(
            payloads[name][: network.size], inputs, answers(network, previous, inputs), network.classes
        )
    check(engine, protocol, replace(task, previous_model=previous), payloads, tmp_path)


@pytest.mark.parametrize("value", [1 << 18, -(1 << 18), 1 << 32, 1 << 63, (1 << 63) - 1, -(1 << 62)])
@attack(
    by="hospital",
    to="change",
    tries="to overflow the aggregate by huge or wrapping values",
    costs="a strike",
    seen="its rejection, on the ledger",
)
def test_an_update_of_any_64_bit_value_is_rejected_and_touches_nothing_else(
    engine: MpSpdz, value: int, tmp_path: Path
) -> None:
    task, payloads = random_round(LOGISTIC, seed=5)
    # so few samples of a class that one answer is many points
    task = replace(
        task, rule=replace(task.rule, weakest_class_below_global_percent=100, weakest_class_below_peers_percent=100)
    )
    hostile = payloads[task.hospitals[1]].copy()
    hostile[7] = np.array(value, dtype=np.uint64).astype(np.int64) if value > 0 else value
    payloads[task.hospitals[1]] = hostile
    (output, *_) = check(engine, "replicated-ring", task, payloads, tmp_path)
    assert output.accepted == (True, False, True, True, True)


def test_without_any_accepted_update_the_budget_stays(engine: MpSpdz, tmp_path: Path) -> None:
    task, payloads = random_round(LOGISTIC, seed=6)
    (output, *_) = check(engine, "replicated-ring", in_later_round(task, 1), payloads, tmp_path / "later")
    assert (output.accepted, output.budget) == ((False,) * 5, rule.LEAST_BUDGET)
    wide = {
        name: np.concatenate([words[: LOGISTIC.size] + (1 << 20), words[LOGISTIC.size :]])
        for name, words in payloads.items()
    }
    (output, *_) = check(engine, "replicated-ring", task, wide, tmp_path / "first")
    assert (output.accepted, output.budget) == ((False,) * 5, rule.LEAST_BUDGET)


@pytest.mark.parametrize("protocol", NODES)
@pytest.mark.parametrize("hospitals", [3, 4, 5])
@pytest.mark.parametrize("network", [MLP, SMALL_CNN], ids=["mlp", "small cnn"])
def test_the_trimmed_mean_equals_the_reference(
    engine: MpSpdz, network: Network, hospitals: int, protocol: str, tmp_path: Path
) -> None:
    task, payloads = random_round(network, hospitals=hospitals, samples=4)
    for name in list(payloads)[:2]:
        payloads[name][:40] = [(1 << 18) - 1, 1 - (1 << 18)] * 20
    work = AggregateTask(task.hospitals, network.size)
    total, count = reference.aggregate(work, payloads)
    for output in run_parties(engine, protocol, work, payloads, tmp_path, count=NODES[protocol]):
        assert isinstance(output, AggregateOutput)
        assert output.count == count
        assert (output.total == total).all()


def test_a_model_of_the_largest_size_is_worked_through_in_parts(engine: MpSpdz, tmp_path: Path) -> None:
    network = Network((28, 28), (Flatten(), Linear(124), ReLU(), Linear(10)))
    assert 98_000 < network.size <= 100_000
    task, payloads = random_round(network, samples=4, scale=0.02)
    (output, *_) = check(engine, "replicated-ring", task, payloads, tmp_path / "verify")
    assert output.stats.rss_bytes < 1 << 30
    work = AggregateTask(task.hospitals, network.size)
    total, _ = reference.aggregate(work, payloads)
    for aggregated in run_parties(engine, "replicated-ring", work, payloads, tmp_path / "aggregate"):
        assert isinstance(aggregated, AggregateOutput)
        assert (aggregated.total == total).all()


def test_a_second_round_of_a_shape_does_not_compile_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = MpSpdz(replace(Settings.load(), cache=tmp_path / "cache"))
    task, payloads = random_round(LOGISTIC, seed=8)
    check(engine, "replicated-ring", task, payloads, tmp_path / "first")

    def refuse(*_: object) -> None:
        raise AssertionError("compiled again")

    monkeypatch.setattr(programs, "_compile", refuse)
    other, others = random_round(LOGISTIC, seed=9)
    looser = replace(other, rule=replace(other.rule, budget=3 << 33, below_peers_percent=40, input_range=(1, 255)))
    check(engine, "replicated-ring", looser, others, tmp_path / "second")
    with pytest.raises(AssertionError, match="compiled again"):
        check(engine, "replicated-ring", *random_round(LOGISTIC, hospitals=6), tmp_path / "third")  # type: ignore[arg-type]


def test_two_runs_at_once_do_not_disturb_each_other(engine: MpSpdz, tmp_path: Path) -> None:
    rounds = [random_round(MLP, seed=seed) for seed in (1, 2)]
    parties = [make_parties(3, tmp_path / str(number)) for number in range(2)]
    # one installation: the nodes of both runs share their working folders
    shared = [[replace(each, workdir=parties[0][each.index].workdir) for each in group] for group in parties]

    def run(number: int) -> list[VerifyOutput | AggregateOutput]:
        task, payloads = rounds[number]
        return run_parties(engine, "replicated-ring", task, payloads, tmp_path, shared[number])

    with ThreadPoolExecutor(2) as pool:
        for (task, payloads), outputs in zip(rounds, pool.map(run, range(2)), strict=True):
            for output in outputs:
                assert isinstance(output, VerifyOutput)
                assert (output.accepted, output.budget) == reference.verify(task, payloads)
