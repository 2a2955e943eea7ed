"""The oracle itself, on a model so small that every number can be checked by hand.

Two inputs, the larger one names the class.

The global model answers all samples right. An honest update adds a quarter on the same lines; squared norm 4 * 0.25^2 =
0.25.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.domain import HospitalName
from pipeline.layers import Network
from pipeline.layers.linear import Linear
from pipeline.mpc import reference, rule
from pipeline.mpc.engines.base import AggregateTask, RuleParameters, VerifyTask
from tests.adversary import attack
from tests.support.tasks import ONE, SMALL_CNN, Words, payload, random_round

NETWORK = Network((2,), (Linear(2),))
SAMPLES = 4
INPUTS = np.array([[200, 50], [50, 200], [150, 10], [10, 150]])
LABELS = [0, 1, 0, 1]
PREVIOUS = np.array([ONE, 0, 0, ONE, 0, 0])
HONEST = np.array([ONE, -ONE, -ONE, ONE, 0, 0]) // 4
NORM = 4 * (ONE // 4) ** 2
ALWAYS_FIRST = np.array([0, 0, 0, 0, ONE // 2, -ONE // 2])
"""Answers class 0 to everything; orthogonal to the honest updates, twice their squared norm."""


def _round(
    *updates: Words,
    hospitals: int = 5,
    budget: int | None = None,
    labels: dict[int, object] | None = None,
    inputs: dict[int, Words] | None = None,
) -> tuple[VerifyTask, dict[HospitalName, Words]]:
    """A round whose last hospitals submit `updates` and all others the honest one."""
    names = tuple(HospitalName(f"h{place}") for place in range(hospitals))
    submitted = [HONEST] * (hospitals - len(updates)) + list(updates)
    payloads = {
        name: payload(submitted[place], (inputs or {}).get(place, INPUTS), (labels or {}).get(place, LABELS))  # type: ignore[arg-type]
        for place, name in enumerate(names)
    }
    return VerifyTask(names, NETWORK, RuleParameters(SAMPLES, (0, 255), 20, 20, budget), PREVIOUS), payloads


def _explain(*updates: Words, **options: object) -> reference.Verification:
    return reference.explain(*_round(*updates, **options))  # type: ignore[arg-type]


def _reasons(found: reference.Verification, hospital: int = -1) -> dict[str, bool]:
    return {
        "range": found.in_range[hospital],
        "size": found.size[hospital],
        "direction": found.direction[hospital],
        "peers": found.peers[hospital],
    }


@pytest.mark.parametrize("hospitals", [3, 4, 5, 10])
def test_honest_hospitals_are_all_accepted_and_set_the_next_budget(hospitals: int) -> None:
    found = _explain(hospitals=hospitals)
    assert found.accepted == (True,) * hospitals
    assert found.budget == 9 * NORM // 4
    assert found.counts.sum(axis=2).tolist() == [[SAMPLES] * hospitals] * (hospitals + 1)


def test_too_large_an_update_is_rejected_for_its_size_alone() -> None:
    largest = HONEST * 3
    assert _explain(largest).accepted[-1]
    assert _reasons(_explain(largest + np.array([1, 0, 0, 0, 0, 0]))) == {
        "range": True,
        "size": False,
        "direction": True,
        "peers": True,
    }


@attack(
    by="hospital",
    to="learn",
    tries="to get the model for next to nothing",
    costs="a strike each round",
    seen="its rejection, on the ledger",
)
def test_a_free_rider_is_rejected_for_its_size_alone() -> None:
    assert _reasons(_explain(np.zeros(6, np.int64))) == {"range": True, "size": False, "direction": True, "peers": True}


def test_an_update_a_twentieth_of_the_median_is_the_smallest_that_counts() -> None:
    smallest = np.array([1, -1, -1, 1, 0, 0]) * math.isqrt(NORM // 1600)
    assert _explain(smallest + np.array([1, 0, 0, 0, 0, 0])).accepted[-1]
    assert not _explain(smallest - np.array([1, 0, 0, 0, 0, 0])).size[-1]


def test_pushing_against_the_others_is_rejected_for_its_direction_alone() -> None:
    assert _reasons(_explain(-HONEST)) == {"range": True, "size": True, "direction": False, "peers": True}


@pytest.mark.parametrize(("cosine", "accepted"), [(-0.39, True), (-0.41, False), (0.5, True)])
def test_the_direction_is_bounded_at_a_cosine_of_minus_four_tenths(cosine: float, accepted: bool) -> None:
    aside = np.array([0, 0, 0, 0, 1, 1]) * math.sqrt(NORM / 2)
    update = np.rint(cosine * HONEST + math.sqrt(1 - cosine**2) * aside).astype(np.int64)
    found = _explain(update)
    assert found.direction[-1] is accepted
    assert found.accepted[-1] is accepted


@pytest.mark.parametrize(("quarters", "accepted"), [(15, False), (17, True)])
def test_a_push_that_is_small_beside_the_budget_is_none(quarters: int, accepted: bool) -> None:
    # -HONEST has minus NORM with the median, which is a quarter of four times as large a budget
    found = _explain(-HONEST, budget=quarters * NORM // 4)
    assert found.direction[-1] is accepted
    assert found.accepted[-1] is accepted


@pytest.mark.parametrize(("percent", "accepted"), [(99, False), (100, True)])
def test_an_update_that_is_shorter_than_the_median_has_the_least_margin(percent: int, accepted: bool) -> None:
    # honest updates without a common direction are longer than their median: a short one against it is no noise
    found = _explain(-HONEST * percent // 100, budget=16 * NORM)
    assert found.direction[-1] is accepted
    assert found.accepted[-1] is accepted


@pytest.mark.parametrize(("larger", "accepted"), [(1, True), (4, True), (5, False)])
def test_updates_that_vanish_are_not_judged_by_what_a_floor_leaves_of_them(larger: int, accepted: bool) -> None:
    # the common square is 4, 64 and 100 units of what a floor drops; the short one's product with it is -3, -48 and -75
    common = HONEST * larger // 256
    found = _explain(*[common] * 4, -common * 3 // 4, budget=rule.STILL)
    assert found.median_square == 4 * larger**2
    assert found.products[-1] == -3 * larger**2
    assert found.direction[-1] is accepted


def test_the_first_round_has_no_margin_and_no_budget_a_larger_one_than_the_cap() -> None:
    assert rule.direction_margin(None) == rule.projected_margin(None) == 0
    cap = rule.NORM_CAP // 4
    assert rule.direction_margin(1 << 60) == cap >> rule.DIRECTION_BITS
    assert rule.projected_margin(1 << 60) == (cap * rule.PROJECTIONS // 2) >> rule.PROJECTED_DIRECTION_BITS


def test_making_the_model_worse_is_rejected_by_the_peers_alone() -> None:
    found = _explain(ALWAYS_FIRST)
    assert _reasons(found) == {"range": True, "size": True, "direction": True, "peers": False}
    assert found.counts[-1].sum(axis=1).tolist() == [SAMPLES // 2] * 5


def test_a_model_better_than_the_global_one_but_far_below_its_peers_is_rejected() -> None:
    task, _ = _round(ALWAYS_FIRST)
    backward = np.array(
        [0, ONE, ONE, 0, 0, 0]
    )  # the global model answers all samples wrong, the honest ones turn it round
    turned = payload(np.array([2 * ONE, -2 * ONE, -2 * ONE, 2 * ONE, 0, 0]), INPUTS, LABELS)
    task = VerifyTask(task.hospitals, NETWORK, task.rule, backward)
    first = payload(np.array([0, 0, 0, 0, 2 * ONE, -2 * ONE]), INPUTS, LABELS)
    found = reference.explain(task, dict.fromkeys(task.hospitals[:-1], turned) | {task.hospitals[-1]: first})
    assert found.counts[:, 0].sum(axis=1).tolist() == [0, 4, 4, 4, 4, 2]
    assert found.peers == (True, True, True, True, False)


@pytest.mark.parametrize("value", [2**18, -(2**18), 2**32, 2**40, -(2**63), 2**63 - 1])
@pytest.mark.parametrize("place", [0, 5])
def test_an_update_out_of_range_is_rejected_and_touches_nothing_else(value: int, place: int) -> None:
    wild = HONEST.copy()
    wild[place] = value
    found = _explain(wild)
    without = _explain(np.zeros(6, np.int64))
    assert not found.in_range[-1]
    assert found.accepted == (True, True, True, True, False)
    assert found.budget == without.budget
    assert np.array_equal(found.counts, without.counts)
    assert found.squared_norms == without.squared_norms
    assert found.direction == without.direction
    assert found.peers == without.peers


def test_the_largest_coordinate_in_range_is_in_range() -> None:
    edge = HONEST.copy()
    edge[5] = 2**18 - 1
    assert _explain(edge).in_range[-1]
    assert _explain(-edge).in_range[-1]


def test_a_budget_in_force_replaces_the_median() -> None:
    task = {"budget": NORM}
    assert _explain(HONEST, **task).accepted == (True,) * 5
    assert _reasons(_explain(HONEST + np.array([1, 0, 0, 0, 0, 0]), **task)) == {
        "range": True,
        "size": False,
        "direction": True,
        "peers": True,
    }


def test_a_small_budget_lets_small_updates_in() -> None:
    small = HONEST // 30
    assert not _explain(small).size[-1]
    assert _explain(small, budget=NORM // 4).size == (False, False, False, False, True)


def test_the_norm_cap_holds_whatever_the_budget() -> None:
    network = Network((10,), (Linear(2),))
    names = tuple(HospitalName(name) for name in "abc")
    largest = np.full(network.size, 2**18 - 1)
    task = VerifyTask(
        names, network, RuleParameters(SAMPLES, (0, 255), 20, 20, 2**50), np.zeros(network.size, np.int64)
    )
    found = reference.explain(task, dict.fromkeys(names, payload(largest, np.zeros((SAMPLES, 10), np.int64), LABELS)))
    assert found.in_range == (True,) * 3
    assert found.size == (False,) * 3


def test_a_minority_of_owners_with_flipped_labels_decides_nothing() -> None:
    flipped = {0: [1, 0, 1, 0], 1: [1, 0, 1, 0]}
    found = _explain(ALWAYS_FIRST, labels=flipped)
    assert found.counts[0].sum(axis=1).tolist() == [0, 0, 4, 4, 4]
    assert found.accepted == (True, True, True, True, False)


def test_an_owner_of_a_single_class_is_valid() -> None:
    found = _explain(labels={0: [1, 1, 1, 1]}, inputs={0: INPUTS[[1, 3, 1, 3]]})
    assert found.valid_owner == (True,) * 5
    assert found.accepted == (True,) * 5


@pytest.mark.parametrize(
    "rows",
    [
        [[1, 1]] * 4,
        [[0, 0]] * 4,
        [[2, -1]] * 4,
        [[1, 0], [1, 0], [1, 0], [3, 0]],
        [[2**63 - 1, 2**63 - 1], [1, 0], [1, 0], [1, 0]],
    ],
)
def test_labels_that_are_not_one_hot_make_their_owners_counts_a_constant(rows: list[list[int]]) -> None:
    found = _explain(labels={2: np.array(rows)})
    assert found.valid_owner == (True, True, False, True, True)
    assert found.counts[:, 2].sum(axis=1).tolist() == [SAMPLES // 2] * 6
    assert found.accepted == (True,) * 5


@pytest.mark.parametrize("value", [-1, 256, 2**40, -(2**63)])
def test_inputs_out_of_range_make_their_owners_counts_a_constant(value: int) -> None:
    wild = INPUTS.copy()
    wild[3, 1] = value
    found = _explain(ALWAYS_FIRST, inputs={1: wild})
    assert found.valid_owner == (True, False, True, True, True)
    assert found.counts[:, 1].sum(axis=1).tolist() == [SAMPLES // 2] * 6
    assert found.accepted == (True, True, True, True, False)


def test_a_tie_of_logits_is_answered_with_the_first_class() -> None:
    found = _explain(inputs={0: np.full((4, 2), 77)})
    assert found.counts[:, 0].sum(axis=1).tolist() == [2] * 6


def test_without_any_accepted_update_the_budget_stays() -> None:
    too_large = [HONEST * 3] * 5
    assert reference.verify(*_round(*too_large, budget=NORM)) == ((False,) * 5, NORM)
    wrong = [ALWAYS_FIRST] * 5
    assert reference.verify(*_round(*wrong)) == ((False,) * 5, rule.LEAST_BUDGET)


def test_a_round_of_empty_updates_leaves_a_budget_that_a_study_can_grow_from() -> None:
    accepted, budget = reference.verify(*_round(*[np.zeros(6, np.int64)] * 5))
    assert accepted == (True,) * 5
    assert budget == rule.LEAST_BUDGET
    small = np.array([1, -1, -1, 1, 0, 0]) * math.isqrt(budget // 4)
    accepted, following = reference.verify(*_round(*[small] * 5, budget=budget))
    assert accepted == (True,) * 5
    assert following > budget


def test_a_model_that_gives_up_one_class_is_rejected_though_its_overall_count_may_pass() -> None:
    task, payloads = _round(ALWAYS_FIRST)
    overall_only = replace(task.rule, below_global_percent=50, below_peers_percent=50)
    loose = replace(overall_only, weakest_class_below_global_percent=100, weakest_class_below_peers_percent=100)
    assert reference.explain(replace(task, rule=loose), payloads).peers == (True,) * 5
    found = reference.explain(replace(task, rule=overall_only), payloads)
    assert found.counts[-1].tolist() == [[SAMPLES // 2, 0]] * 5
    assert found.peers == (True, True, True, True, False)


@pytest.mark.parametrize("field", ["weakest_class_below_global_percent", "weakest_class_below_peers_percent"])
def test_the_weakest_class_is_compared_with_the_global_model_and_with_the_peers(field: str) -> None:
    task, payloads = _round(ALWAYS_FIRST)
    loose = replace(task.rule, below_global_percent=50, below_peers_percent=50)
    one = replace(loose, weakest_class_below_global_percent=100, weakest_class_below_peers_percent=100)
    assert not reference.explain(replace(task, rule=replace(one, **{field: 99})), payloads).peers[-1]  # type: ignore[arg-type]


def test_the_trimmed_mean_sums_the_middle_of_each_coordinate() -> None:
    names = tuple(HospitalName(name) for name in "abcde")
    updates = {
        name: np.array([place, -place, 2**18 - 1 if place == 3 else 0, 7, place % 2, 5])
        for place, name in enumerate(names)
    }
    total, count = reference.aggregate(AggregateTask(names, NETWORK.size), updates)
    assert count == 3
    assert total.tolist() == [6, -6, 0, 21, 1, 15]


def test_of_an_even_middle_the_value_that_lies_farther_out_goes_too() -> None:
    names = tuple(HospitalName(name) for name in "abcd")
    columns = np.array(
        [[0, 1, 2, 9], [-9, 0, 1, 2], [0, 1, 2, 3], [5, 5, 5, 5], [2**18 - 1, -(2**18) + 1, 0, 0], [3, 2, 1, 0]]
    )
    total, count = reference.aggregate(AggregateTask(names, NETWORK.size), dict(zip(names, columns.T, strict=True)))
    assert count == 3
    assert total.tolist() == [3, 3, 6, 15, 2**18 - 1, 6]  # of equal gaps the smallest goes


def test_the_trimmed_mean_of_three_is_their_sum() -> None:
    names = tuple(HospitalName(name) for name in "abc")
    total, count = reference.aggregate(AggregateTask(names, NETWORK.size), dict.fromkeys(names, HONEST))
    assert count == 3
    assert np.array_equal(total, 3 * HONEST)


@settings(max_examples=30, deadline=None)
@given(
    hospitals=st.integers(3, 10),
    seed=st.integers(0, 10_000),
    scale=st.sampled_from([0.001, 0.05, 1.0]),
    first=st.booleans(),
)
def test_the_verdict_depends_on_the_updates_and_not_on_their_order(
    hospitals: int, seed: int, scale: float, first: bool
) -> None:
    task, payloads = random_round(NETWORK, hospitals, 4, None if first else 2**36, seed, scale)
    order = np.random.default_rng(seed).permutation(hospitals)
    shuffled = VerifyTask(tuple(task.hospitals[place] for place in order), NETWORK, task.rule, task.previous_model)
    accepted, budget = reference.verify(task, payloads)
    again, same = reference.verify(shuffled, payloads)
    assert again == tuple(accepted[place] for place in order)
    assert same == budget


@settings(max_examples=30, deadline=None)
@given(hospitals=st.integers(3, 12), seed=st.integers(0, 10_000))
def test_each_coordinate_of_the_mean_lies_within_all_but_the_trimmed(hospitals: int, seed: int) -> None:
    names = tuple(HospitalName(f"h{place}") for place in range(hospitals))
    updates = {
        name: np.random.default_rng([seed, place]).integers(-(2**18) + 1, 2**18, 6) for place, name in enumerate(names)
    }
    total, count = reference.aggregate(AggregateTask(names, NETWORK.size), updates)
    ordered = np.sort(np.stack(list(updates.values())), axis=0)
    trimmed = rule.updates_trimmed(hospitals)
    assert np.all(total >= count * ordered[trimmed])
    assert np.all(total <= count * ordered[hospitals - 1 - trimmed])


def test_a_round_of_the_small_cnn_is_evaluated_whole() -> None:
    found = reference.explain(*random_round(SMALL_CNN, samples=32))
    assert found.counts.shape == (6, 5, 2)
    assert found.counts.sum() > 0
