"""The laboratory's promises of the rule, in seconds: four hospitals of heart disease, five of breast cancer."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from benchmarks.poisoning import data, exact, own_rules, simulate
from benchmarks.poisoning.own_rules import WARDROUND, WITHOUT_INFERENCE
from benchmarks.poisoning.simulate import NONE, Case, Run, Simulation
from pipeline.domain import HospitalName
from pipeline.layers import Network
from pipeline.mpc import reference, rule
from pipeline.mpc.engines.base import AggregateTask
from tests.support.large import SEED
from tests.support.tasks import LOGISTIC, MLP, SMALL_CNN, random_round

pytestmark = pytest.mark.usefixtures("published_heart")


def heart(attack: str, seed: int = 0, rounds: int = 6, defence: str = WARDROUND) -> Simulation:
    return Simulation(Case("heart_disease", 4, 1, 0.0, 0, attack, defence, seed, rounds))


def breast(attack: str, seed: int) -> Run:
    return Simulation(Case("breast_cancer", 5, 2, 1.0, 16, attack, WARDROUND, seed, 6)).run()


@pytest.fixture(scope="module")
def undisturbed() -> list[Run]:
    return [heart(NONE, seed).run() for seed in range(5)]


@pytest.mark.parametrize("attack", ["ipm_100", "sign_flip"])
def test_an_overshooting_attacker_is_rejected_in_every_round_and_quarantined_after_exactly_its_strikes(
    attack: str, undisturbed: list[Run]
) -> None:
    strikes = heart(attack).rule.strikes
    before = heart(attack, rounds=strikes - 1)
    after = heart(attack, rounds=strikes)
    before.run()
    assert before.consortium.out == ()
    after.run()
    assert after.consortium.out == (after.names[after.bad[0]],)
    run = heart(attack).run()
    assert run.rejected == 1
    assert run.accuracy >= undisturbed[0].accuracy - 0.03


def test_without_attack_hardly_an_honest_update_is_rejected(undisturbed: list[Run]) -> None:
    assert np.mean([run.false_rejects for run in undisturbed]) <= 0.05


def test_poisoned_validation_samples_of_one_owner_of_four_change_hardly_an_honest_bit() -> None:
    assert np.mean([heart("lying_judge", seed).run().false_rejects for seed in range(3)]) <= 0.05


def test_two_lying_owners_of_five_change_hardly_an_honest_bit() -> None:
    assert np.mean([breast("lying_judge", seed).false_rejects for seed in range(3)]) <= 0.05


def test_a_free_rider_is_rejected_in_every_round() -> None:
    assert heart("free_rider").run().rejected == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -(2.0**40), 2.0**60])
def test_an_update_that_is_no_number_leaves_the_other_bits_and_the_new_model_untouched(value: float) -> None:
    simulation = heart("free_rider")
    updates, (bad,) = simulation._updates(0)
    samples = {member.name: member.drawn(32, 1) for member in simulation.members}
    models = []
    bits = []
    for update in (updates[bad], np.full_like(updates[bad], value)):
        consortium = heart("free_rider").consortium
        by_name = dict(zip(simulation.names, updates, strict=True)) | {simulation.names[bad]: update}
        found = consortium.explained(consortium.task(SEED), consortium.payloads(by_name, samples))
        consortium.close(by_name, found, 1)
        bits.append(found.accepted)
        models.append(consortium.model)
    assert bits[0] == bits[1]
    assert not bits[1][bad]
    assert sum(bits[1]) == 3
    assert np.array_equal(*models)


def test_a_round_that_accepts_too_few_keeps_model_budget_and_strikes() -> None:
    consortium = heart(NONE).consortium
    before = consortium.model.copy()
    updates = {name: np.full(len(before), 100.0) for name in consortium.names}
    samples = {member.name: member.drawn(32, 1) for member in heart(NONE).members}
    moved = consortium.close(
        updates, consortium.explained(consortium.task(SEED), consortium.payloads(updates, samples)), 1
    )
    assert not moved.any()
    assert np.array_equal(consortium.model, before)
    assert (consortium.budget, consortium.finished, dict(consortium.strikes)) == (None, 0, {})


@pytest.mark.parametrize("accepted", [3, 4, 5, 8])
def test_without_the_privacy_floor_the_median_is_opened(accepted: int) -> None:
    updates = np.random.default_rng(accepted).integers(-1000, 1000, size=(accepted, 50))
    by_name = {HospitalName(f"h{place}"): update for place, update in enumerate(updates)}
    total, count = own_rules.median(AggregateTask(tuple(by_name), 50), by_name)
    assert np.array_equal(total / count, np.median(updates, axis=0))
    assert count < rule.FEWEST_ACCEPTED


def test_what_earlier_runs_left_in_memory_changes_no_run() -> None:
    attacks = (NONE, "sign_flip", "slow_backdoor", "rule_aware_targeted")
    played = list(product(attacks, (WARDROUND, "multi_krum")))
    warm = [heart(attack, rounds=3, defence=defence).run() for attack, defence in played]
    for (attack, defence), run in zip(played, warm, strict=True):
        for cached in (data.world, data._drawn, exact._cached, simulate._honest, simulate._accuracy):
            cached.cache_clear()
        assert heart(attack, rounds=3, defence=defence).run() == run


def test_only_the_encrypted_inference_sees_a_targeted_flip_within_the_budget() -> None:
    with_it, without = (heart("targeted_flip+fit", defence=defence).run() for defence in (WARDROUND, WITHOUT_INFERENCE))
    assert with_it.rejected is not None
    assert without.rejected is not None
    assert with_it.rejected > without.rejected


@pytest.mark.parametrize("network", [LOGISTIC, MLP, SMALL_CNN], ids=["logistic", "mlp", "small cnn"])
@pytest.mark.parametrize("budget", [None, 2**36])
def test_the_fast_counts_make_every_part_of_the_verification_equal_to_the_reference(
    network: Network, budget: int | None
) -> None:
    for seed in range(3):
        task, payloads = random_round(network, 5, 6, budget, seed, scale=[0.001, 0.05, 1.0][seed])
        plain = reference.explain(task, payloads)
        fast = reference.explain(task, payloads, exact.counts)
        assert np.array_equal(fast.counts, plain.counts)
        assert (fast.accepted, fast.budget, fast.peers) == (plain.accepted, plain.budget, plain.peers)


def test_a_sum_that_float64_might_not_hold_is_left_to_the_reference() -> None:
    task, payloads = random_round(MLP, 4, 6)
    size = MLP.size
    models = np.full((2, size), 1 << 18) + np.zeros((2, size), dtype=np.int64)
    inputs = np.stack([payloads[name][size : size + 180].reshape(6, 30) for name in task.hospitals])
    labels = np.stack([payloads[name][size + 180 :].reshape(6, 2) for name in task.hospitals])
    assert np.array_equal(exact.counts(task, models, inputs, labels), reference.counts(task, models, inputs, labels))
    with pytest.raises(exact.OutOfRange):
        exact._exact(np.array([[float(1 << 30)]]), np.array([[float(1 << 23)]]))
