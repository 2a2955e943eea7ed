"""What a verification is counted to take."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.domain import tries
from pipeline.layers import CHECKED, Network, Work, plan
from pipeline.layers.linear import Linear
from pipeline.mpc import rule
from pipeline.mpc.work import HABITS, VerificationSizes
from tests.support.tasks import SMALL_CNN

TINY = plan(Network((2,), (Linear(2),)), 255, CHECKED)
"""6 parameters: 4 weights, 2 biases."""

hospitals = st.integers(3, 60)
samples = st.integers(4, 256)


def test_three_hospitals_and_a_tiny_network_are_counted_as_by_hand() -> None:
    sizes = VerificationSizes(TINY, hospitals=3, samples=4, panel=None, projected=False)
    tries = 4 * 3 * 4
    evaluated = Work(products=tries * (4 + 1), comparisons=tries)
    # a median of 3 takes all 3 comparators of a network; numbers of one hospital: 6 of its update, 4 x (2 + 2 + 1)
    # of its samples, labels and their sums
    median = 3 * 6
    updates = Work(products=3 * 3 * 6 + median, comparisons=3 * (6 + 20) + median + 3 * 3 * 2)
    # of 4 models and 3 kinds of counts each of 3 pairs of owners; of 9 pairs of models 1 + 2 x 2 comparisons
    peers = Work(products=4 * 3 * 3, comparisons=4 * 3 * 3 + 9 * 5)
    assert sizes.work("mp-spdz") == evaluated + updates + peers
    assert sizes.inputs == 6 + 3 * (6 + 4 * (2 + 2))


def test_projections_stand_for_the_coordinates_of_a_large_model() -> None:
    full, large = (VerificationSizes(TINY, 3, 4, None, projected) for projected in (False, True))
    more = rule.PROJECTIONS - 6
    gained = Work(products=(9 + 3) * more, comparisons=(3 + 3) * more)
    for engine in HABITS:
        assert large.work(engine) == full.work(engine) + gained
    assert large.inputs == full.inputs + 3 * rule.PROJECTIONS
    # each of 3 nodes holds 2 components of every update, each of 4 nodes 3
    assert (full.projected_numbers(3), large.projected_numbers(3), large.projected_numbers(4)) == (0, 108, 216)


@settings(max_examples=50, deadline=None)
@given(hospitals, samples, st.sampled_from(sorted(HABITS)))
def test_twice_the_samples_are_twice_the_evaluation(hospitals: int, samples: int, engine: str) -> None:
    once, twice, thrice = (
        VerificationSizes(plan(SMALL_CNN, 255, CHECKED), hospitals, times * samples, None, True).work(engine)
        for times in (1, 2, 3)
    )
    assert twice.products - once.products == thrice.products - twice.products > 0
    assert twice.comparisons - once.comparisons == thrice.comparisons - twice.comparisons > 0


@settings(max_examples=50, deadline=None)
@given(hospitals, samples, st.sampled_from(sorted(HABITS)))
def test_work_grows_with_the_square_of_the_hospitals_and_what_enters_with_their_number(
    hospitals: int, samples: int, engine: str
) -> None:
    once, twice = (
        VerificationSizes(plan(SMALL_CNN, 255, CHECKED), count, samples, None, True)
        for count in (hospitals, 2 * hospitals)
    )
    evaluations = 2 * (2 * hospitals + 1) / (hospitals + 1)
    assert 0.9 * evaluations < twice.work(engine).products / once.work(engine).products < 1.3 * evaluations
    assert 1 < twice.inputs / once.inputs < 2


def test_with_a_panel_three_hospitals_are_counted_as_by_hand() -> None:
    # each of 3 models on 2 owners' samples, and the global one on those of 3; counts of 3 models and of the global one
    # beside each, for one pair of owners
    (whole, panel) = (VerificationSizes(TINY, 3, 4, size, False) for size in (None, 2))
    fewer = 12 * 4 - (3 * 2 + 3) * 4
    pairs = 4 * 3 * 3 - 6 * 3 * 1
    # of 6 rows the worse of 2 classes, and of 9 pairs of models 2 comparisons in place of 1 + 2 x 2
    near = 9 * 5 - (6 + 9 * 2)
    gone = Work(products=fewer * 5 + pairs, comparisons=fewer + pairs + near)
    assert panel.work("mp-spdz") + gone == whole.work("mp-spdz")
    assert panel.inputs == whole.inputs


@settings(max_examples=50, deadline=None)
@given(st.integers(3, 30), samples, st.sampled_from(sorted(HABITS)), st.integers(3, 15))
def test_with_a_panel_tries_grow_with_the_number_of_the_hospitals(
    hospitals: int, samples: int, engine: str, panel: int
) -> None:
    steps = plan(SMALL_CNN, 255, CHECKED)
    once, twice = (tries(count, samples, panel) for count in (hospitals, 2 * hospitals))
    assert twice == 2 * once == 2 * hospitals * (panel + 1) * samples
    sizes = VerificationSizes(steps, hospitals, samples, panel, True)
    assert sizes.work(engine).products > once * steps.work(HABITS[engine].merges_kernels).products


@settings(max_examples=50, deadline=None)
@given(hospitals, samples)
def test_all_tries_are_at_most_all_the_work(hospitals: int, samples: int) -> None:
    sizes = VerificationSizes(plan(SMALL_CNN, 255, CHECKED), hospitals, samples, None, False)
    tried = sizes.plan.work() * ((hospitals + 1) * hospitals * samples)
    assert all(tried.in_comparisons < sizes.work(engine).in_comparisons for engine in HABITS)
