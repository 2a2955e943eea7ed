"""What the checks on projections promise (docs/adr/0007-large-models.md), over many seeds and shapes of vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.domain import NORM_CAP, HospitalName, Sha256
from pipeline.mpc import projections, reference, reference_projected, rule
from pipeline.mpc.engines.base import ProjectedTask
from pipeline.mpc.projections import project
from pipeline.mpc.sharing import Vector
from tests.support.large import HONEST_NORM, SEED, honest_names, hostile_large_round
from tests.support.parties import share
from tests.support.tasks import LOGISTIC, Words, random_round

SEEDS = st.binary(min_size=32, max_size=32).map(lambda data: Sha256(data.hex()))
BUDGET = 1 << 36

SHAPES = {
    "one spike": lambda generator: np.eye(1, 600)[0],
    "two equal spikes": lambda generator: np.eye(1, 600)[0] - np.eye(1, 600, 5)[0],
    "flat": lambda generator: np.ones(3000),
    "alternating": lambda generator: (-1.0) ** np.arange(4200),
    "normal": lambda generator: generator.standard_normal(5000),
    "heavy tails": lambda generator: generator.standard_cauchy(900),
}


def scaled(shape: str, norm: float, seed: int) -> Vector:
    """A vector of this shape with at most this squared norm."""
    vector = SHAPES[shape](np.random.default_rng(seed))
    return np.trunc(vector * np.sqrt(norm) / np.linalg.norm(vector)).astype(np.int64)


def judged(update: Vector, seed: Sha256, budget: int = BUDGET) -> reference_projected.Measured:
    """What is told of one update among two that are as large as the budget allows."""
    peer = np.full_like(update, 0)
    peer[: min(len(peer), 500)] = int(np.sqrt(budget / min(len(peer), 500)))
    return reference_projected.measure(project([update, peer, peer], len(update), seed), budget)


def explained(task: ProjectedTask, payloads: Mapping[HospitalName, Words]) -> reference_projected.ProjectedVerification:
    """The verification from the payloads themselves."""
    rows = project(list(reference.updates_of(task, payloads)), task.network.size, task.seed)
    return reference_projected.explain(task, dict(zip(payloads, rows, strict=True)), payloads)


@settings(deadline=None, max_examples=12)
@given(
    vectors=st.integers(1, 4),
    length=st.sampled_from([1, 7, 4096, 4097, 9001]),
    numbers=st.integers(0, 2**32),
    seed=SEEDS,
)
def test_projections_are_those_of_the_matrix_modulo_the_ring(
    vectors: int, length: int, numbers: int, seed: Sha256
) -> None:
    generator = np.random.default_rng(numbers)
    words = generator.integers(-(2**63), 2**63, (vectors, length), dtype=np.int64)
    matrix = np.concatenate([projections.block(seed, number) for number in range(-(-length // 4096))], axis=1)[
        :, :length
    ].astype(np.int64)
    assert np.array_equal(project(list(words), length, seed), words @ matrix.T)


def test_the_matrix_has_each_entry_as_often_as_it_should_and_no_two_rows_blocks_or_seeds_alike() -> None:
    first = projections.block(SEED, 0)
    second = projections.block(SEED, 1)
    other = projections.block(Sha256("5f" * 32), 0)
    shares = [np.mean(first == entry) for entry in (-1, 0, 1)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.002)
    correlations = np.corrcoef(first) - np.eye(rule.PROJECTIONS)
    assert np.abs(correlations).max() < 0.1
    for each in (second, other):
        assert abs(np.corrcoef(first.ravel(), each.ravel())[0, 1]) < 0.005


def test_nodes_that_project_their_components_hold_components_of_the_projections() -> None:
    update = scaled("normal", BUDGET, 0)
    for nodes in (3, 4):
        components = share(update, nodes, np.random.default_rng(nodes))
        projected = [project([component], len(update), SEED)[0] for component in components]
        assert np.array_equal(np.sum(projected, axis=0, dtype=np.int64), project([update], len(update), SEED)[0])


@settings(deadline=None, max_examples=40)
@given(
    shape=st.sampled_from(sorted(SHAPES)),
    numbers=st.integers(0, 2**32),
    seed=SEEDS,
    budget=st.sampled_from([1 << 16, BUDGET, 1 << 40]),
)
def test_an_update_within_the_budget_is_never_rejected_for_its_size(
    shape: str, numbers: int, seed: Sha256, budget: int
) -> None:
    found = judged(scaled(shape, budget, numbers), seed, budget)
    assert found.in_range[0]
    assert found.size[0]


@settings(deadline=None, max_examples=40)
@given(shape=st.sampled_from(sorted(SHAPES)), numbers=st.integers(0, 2**32), seed=SEEDS)
def test_an_update_of_more_than_twice_the_budgets_norm_is_never_accepted(
    shape: str, numbers: int, seed: Sha256
) -> None:
    assert not judged(scaled(shape, 4.2 * BUDGET, numbers), seed).size[0]


@settings(deadline=None, max_examples=80)
@given(
    value=st.one_of(
        st.integers(2**24 + 1, 2**63 - 1),
        st.integers(25, 62).map(lambda power: 1 << power),
        st.just(-(2**63)),
        st.just(-(2**63) + 1),
    ),
    copies=st.integers(1, 4),
    around=st.sampled_from(["nothing", "honest", "random words"]),
    numbers=st.integers(0, 2**32),
    seed=SEEDS,
)
def test_a_coordinate_that_wraps_is_always_caught_whatever_stands_beside_it(
    value: int, copies: int, around: str, numbers: int, seed: Sha256
) -> None:
    generator = np.random.default_rng(numbers)
    update = {
        "nothing": np.zeros(400, dtype=np.int64),
        "honest": scaled("normal", BUDGET, numbers),
        "random words": generator.integers(-(2**63), 2**63, 400, dtype=np.int64),
    }[around]
    # two halves of the ring cancel in every sum of signs; only the zeros of the matrix tell them apart
    update[:copies] = value
    assert not judged(update, seed).in_range[0]


@pytest.mark.parametrize("budget", [None, HONEST_NORM])
def test_each_part_of_the_checks_rejects_whom_it_should(budget: int | None) -> None:
    task, payloads = hostile_large_round(budget)
    found = explained(task, payloads)
    parts = found.measured
    failed = {
        part: {name for name, ok in zip(payloads, bits, strict=True) if not ok}
        for part, bits in (
            ("range", parts.in_range),
            ("size", parts.size),
            ("direction", parts.direction),
            ("peers", found.peers),
        )
    }
    too_wide = {"wide"} - set(honest_names(budget))
    assert failed == {
        "range": {"wrapping"},
        "size": {"wrapping", "huge", "lazy"} | too_wide,
        "direction": {"timid", "against"},
        "peers": {"worse"},
    }
    assert {name for name, bit in zip(payloads, found.accepted, strict=True) if bit} == set(honest_names(budget))
    assert found.budget == pytest.approx(9 / 4 * HONEST_NORM, rel=0.2)


def test_an_update_that_is_out_is_tried_as_the_global_model() -> None:
    task, payloads = hostile_large_round(None)
    found = explained(task, payloads)
    out = [not ok for ok in found.measured.size]
    assert (found.counts[1:][out] == found.counts[0]).all()
    assert not (found.counts[1:] == found.counts[0]).all()


def test_a_push_that_is_small_beside_the_budget_is_none() -> None:
    for budget, against in ((HONEST_NORM, False), (8 * HONEST_NORM, True)):
        task, payloads = hostile_large_round(budget)
        found = dict(zip(task.hospitals, explained(task, payloads).measured.direction, strict=True))
        assert (found[HospitalName("against")], found[HospitalName("timid")]) == (against, False)


def test_the_budget_stays_when_nobody_is_accepted_and_keeps_to_its_bounds() -> None:
    task, payloads = random_round(LOGISTIC, hospitals=3)
    nothing = dict.fromkeys(payloads, np.full(rule.PROJECTIONS, rule.PROJECTION_CAP))
    least = rule.LEAST_BUDGET
    for budget, kept in ((None, least), (7, least), (least + 7, least + 7), (1 << 60, NORM_CAP)):
        numbers = replace(task.rule, budget=budget)
        large = ProjectedTask(task.hospitals, task.network, numbers, task.previous_model, SEED)
        found = reference_projected.explain(large, nothing, payloads)
        assert (found.accepted, found.budget) == ((False,) * 3, kept)


def test_a_round_of_empty_updates_leaves_a_budget_in_which_a_study_can_move_again() -> None:
    task, payloads = random_round(LOGISTIC, hospitals=3, scale=0)
    for budget in (None, BUDGET):
        numbers = replace(task.rule, budget=budget)
        found = explained(ProjectedTask(task.hospitals, task.network, numbers, task.previous_model, SEED), payloads)
        assert found.budget == rule.LEAST_BUDGET


def test_the_stated_error_probabilities_follow_from_the_rules_numbers() -> None:
    count = rule.PROJECTIONS
    slack = rule.PROJECTED_RIGHT / rule.PROJECTED_LEFT
    false_rejection = count / 2 * (slack - 1 - np.log(slack)) / np.log(2)
    chosen = np.linspace(0.01, 1, 1000)
    false_acceptance = -count * np.log2(np.min(np.exp(chosen * slack / 4) * (1 - chosen + 1.5 * chosen**2)))
    out_of_range = rule.PROJECTION_CAP**2 / NORM_CAP / np.log(2) - 1 - np.log2(count)
    assert false_rejection > 48
    assert false_acceptance > 52
    assert out_of_range > 80
    assert rule.PROJECTIONS == 2 << rule.PROJECTION_BITS
