"""The rule of `mode: large` in the laboratory, in seconds: four hospitals of heart disease."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.poisoning import exact
from benchmarks.poisoning.attacks import NONE
from benchmarks.poisoning.cells import CELLS
from benchmarks.poisoning.own_rules import (
    APART,
    LARGE,
    LARGE_WITHOUT_INFERENCE,
    OWN_RULES,
    WARDROUND,
    LargeRule,
    OwnRule,
)
from benchmarks.poisoning.simulate import Case, Observed, Simulation, Watcher
from benchmarks.poisoning.wardround import Consortium
from pipeline.domain import HospitalName, Sha256
from pipeline.layers import Network
from pipeline.layers.linear import Linear
from pipeline.layers.relu import ReLU
from pipeline.mpc import reference, reference_projected
from pipeline.mpc.engines.base import AggregateTask, ProjectedTask, VerifyTask
from pipeline.mpc.projections import project
from pipeline.mpc.reference_projected import ProjectedVerification
from tests.support.large import SEED, hostile_large_round
from tests.support.tasks import LOGISTIC, MLP, SMALL_CNN, Words, random_round

pytestmark = pytest.mark.usefixtures("published_heart")


def prepared(attack: str, defence: str, rounds: int = 5, watch: Watcher | None = None) -> Simulation:
    return Simulation(Case("heart_disease", 4, 1, 0.0, 0, attack, defence, 0, rounds), watch=watch)


def play(attack: str, defence: str, rounds: int = 5) -> tuple[Simulation, list[Observed]]:
    seen: list[Observed] = []
    simulation = prepared(attack, defence, rounds, seen.append)
    simulation.run()
    return simulation, seen


def projected(task: VerifyTask) -> ProjectedTask:
    assert isinstance(task, ProjectedTask)
    return task


@pytest.mark.parametrize("attack", ["targeted_flip+fit", "sign_flip", "gaussian"])
def test_every_round_is_decided_as_the_product_decides_on_projections_of_a_new_seed(attack: str) -> None:
    _, rounds = play(attack, LARGE)
    decided = [reference_projected.verify(projected(seen.task), seen.payloads) for seen in rounds]
    assert [(seen.verification.accepted, seen.verification.budget) for seen in rounds] == decided
    assert any(False in accepted for accepted, _ in decided)
    assert len({projected(seen.task).seed for seen in rounds}) == len(rounds) == 5


@pytest.mark.parametrize("budget", [None, 2 * 6 * 2**32])
@pytest.mark.parametrize("without", [LARGE, LARGE_WITHOUT_INFERENCE])
def test_whoever_breaks_one_condition_is_judged_as_the_product_judges(budget: int | None, without: str) -> None:
    task, payloads = hostile_large_round(budget)
    rows = project(list(reference.updates_of(task, payloads)), task.network.size, task.seed)
    plain = reference_projected.explain(task, dict(zip(payloads, rows, strict=True)), payloads)
    found = OWN_RULES[without].judged(task, payloads)
    assert isinstance(found, ProjectedVerification)
    assert found.measured == plain.measured
    assert not all(plain.peers)
    if without == LARGE:
        assert (found.peers, found.accepted, found.budget) == (plain.peers, plain.accepted, plain.budget)
        assert np.array_equal(found.counts, plain.counts)
    else:
        assert all(found.peers)


def test_a_large_rule_refuses_a_task_without_a_seed() -> None:
    task, payloads = random_round(LOGISTIC, 4)
    with pytest.raises(TypeError, match="seed"):
        LargeRule().judged(task, payloads)


def test_the_mean_is_of_all_accepted_updates_and_nothing_is_trimmed() -> None:
    models = {}
    for defence in (LARGE, WARDROUND):
        simulation = prepared(NONE, defence)
        consortium = simulation.consortium
        start = consortium.model.copy()
        generator = np.random.default_rng(1)
        updates = {name: generator.normal(0, 0.01, len(start)) for name in consortium.names}
        updates[consortium.names[0]] *= 2
        samples = {member.name: member.drawn(32, 1) for member in simulation.members}
        found = consortium.explained(consortium.task(SEED), consortium.payloads(updates, samples))
        assert all(found.accepted)
        consortium.close(updates, found, 1)
        models[defence] = (consortium.model - start) / (1 << 16)
    mean = np.mean(list(updates.values()), axis=0)
    assert np.abs(models[LARGE] - mean).max() < 2 / (1 << 16)
    assert np.abs(models[WARDROUND] - mean).max() > 0.01


def test_the_products_plain_mean_sums_whom_the_task_names() -> None:
    updates = {HospitalName(name): np.array([number, -number, 7]) for number, name in enumerate("abcd", 1)}
    total, count = reference_projected.aggregate(AggregateTask((*updates,)[1:], 2), updates)
    assert (total.tolist(), count) == ([9, -9], 3)


def test_without_the_peers_a_flip_within_the_budget_gets_in_that_they_would_reject() -> None:
    simulation, rounds = play("targeted_flip+fit", LARGE_WITHOUT_INFERENCE)
    attacker = simulation.names[simulation.bad[0]]
    let_in = 0
    for seen in rounds:
        place = seen.task.hospitals.index(attacker)
        asked = OWN_RULES[LARGE].judged(seen.task, seen.payloads)
        let_in += seen.verification.accepted[place] and not asked.accepted[place]
    assert let_in >= 3


def test_an_attacker_fills_what_the_estimate_leaves_above_the_budget_and_is_not_rejected_for_its_size() -> None:
    simulation, rounds = play("targeted_flip+fit", LARGE_WITHOUT_INFERENCE, rounds=8)
    attacker = simulation.names[simulation.bad[0]]
    above = 0
    for seen in rounds:
        found = seen.verification
        assert isinstance(found, ProjectedVerification)
        assert found.measured.size[seen.task.hospitals.index(attacker)]
        update = seen.payloads[attacker][: seen.task.network.size]
        above += seen.task.rule.budget is not None and int(update @ update) > 1.2 * seen.task.rule.budget
    assert above >= 4


def test_what_is_larger_than_the_largest_is_rejected() -> None:
    budget = 1 << 36
    for own, factor in ((OwnRule(), 1.01), (LargeRule(), 1.2)):
        task, payloads = random_round(LOGISTIC, 5, budget=budget)
        task = own.task(task, SEED)
        for share, passes in ((0.999 * own.sure**2, True), (factor, False)):
            vector = payloads[task.hospitals[0]].copy()
            vector[: LOGISTIC.size] = int(np.sqrt(share * own.largest(budget) / LOGISTIC.size))
            found = own.judged(task, payloads | {task.hospitals[0]: vector})
            size = found.measured.size if isinstance(found, ProjectedVerification) else found.size
            assert size[0] == passes


def test_attackers_try_their_updates_on_other_projections_than_the_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[Sha256] = []
    explained = Consortium.explained

    def noted(self: Consortium, task: VerifyTask, payloads: Mapping[HospitalName, Words]) -> object:
        seeds.append(projected(task).seed)
        return explained(self, task, payloads)

    monkeypatch.setattr(Consortium, "explained", noted)
    _, rounds = play("rule_aware_targeted", LARGE, rounds=3)
    own = [projected(seen.task).seed for seen in rounds]
    assert len(seeds) > len(own)
    assert [seed for seed in seeds if seed in own] == own


@pytest.mark.parametrize("network", [LOGISTIC, MLP, SMALL_CNN], ids=["logistic", "mlp", "small cnn"])
def test_the_fast_counts_judge_large_models_as_the_reference_does(network: Network) -> None:
    task, payloads = random_round(network, 5, 6, 2**36)
    large = ProjectedTask(task.hospitals, network, task.rule, task.previous_model, SEED)
    rows = project(list(reference.updates_of(large, payloads)), network.size, SEED)
    by_name = dict(zip(payloads, rows, strict=True))
    plain = reference_projected.explain(large, by_name, payloads)
    fast = reference_projected.explain(large, by_name, payloads, exact.counts)
    assert np.array_equal(fast.counts, plain.counts)
    assert (fast.accepted, fast.budget, fast.peers) == (plain.accepted, plain.budget, plain.peers)


def test_counts_under_other_bounds_are_not_remembered_for_one_another() -> None:
    network = Network((30,), (Linear(4), ReLU(), Linear(2)))
    task, payloads = random_round(network, 3, 40, scale=0)
    # with weights as large as projections allow this network drops bits of its values, and small ones are nothing else
    numbers = replace(task.rule, input_range=(0, 32767))
    weights = np.random.default_rng(0).integers(-2, 3, network.size)
    weights[[*range(120, 124), 132, 133]] = 0  # a bias would outweigh them
    counted = []
    for asked in (
        VerifyTask(task.hospitals, network, numbers, weights),
        ProjectedTask(task.hospitals, network, numbers, weights, SEED),
    ):
        updates = reference.updates_of(asked, payloads)
        fast = reference.tried(asked, updates, payloads, exact.counts)[1]
        assert np.array_equal(fast, reference.tried(asked, updates, payloads)[1])
        counted.append(fast)
    assert not np.array_equal(*counted)


@pytest.mark.parametrize(("cell", "beside"), [("large", "base"), ("large_late", "late")])
def test_a_cell_plays_both_where_the_full_rule_was_played(cell: str, beside: str) -> None:
    assert CELLS[cell].defences == (LARGE, LARGE_WITHOUT_INFERENCE)
    assert CELLS[cell].setting == CELLS[beside].setting
    assert set(CELLS[cell].attacks) <= set(CELLS[beside].attacks)
    assert {WARDROUND, "fedavg"} <= set(CELLS[beside].defences)
    assert set(CELLS[cell].defences) < set(APART)
