"""Histograms of scores: counted, told and read; what they say beside scikit-learn; intervals that hold their level."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.calibration import calibration_curve

from pipeline.measures import scores
from pipeline.measures.calibration import calibration
from pipeline.measures.confusion import Confusion
from pipeline.measures.discrimination import discrimination
from pipeline.measures.estimates import measures
from pipeline.measures.intervals import Estimate, bounded_mean, share
from pipeline.measures.scores import BINS, LEAST_SCORED, Histogram, Scores

NAMES = ("benign", "malignant", "unclear")

Case = tuple[tuple[str, ...], np.ndarray, np.ndarray]


@st.composite
def scored(draw: st.DrawFn) -> Case:
    """Class names, labels with each class twice, and shares (n, classes), among which are edges of bins."""
    size = draw(st.integers(2, 3))
    more = draw(st.lists(st.integers(0, size - 1), max_size=40))
    labels = np.array([*range(size), *range(size), *more])
    weights = st.one_of(st.integers(0, 10), st.floats(0, 10))
    drawn = draw(st.lists(st.lists(weights, min_size=size, max_size=size), min_size=len(labels), max_size=len(labels)))
    shares = np.array(drawn, dtype=np.float64) + 1e-9
    return NAMES[:size], labels, shares / shares.sum(axis=1, keepdims=True)


def count(case: Case) -> tuple[Confusion, Scores]:
    classes, labels, shares = case
    return Confusion.count(labels, shares.argmax(axis=1), classes), Scores.count(labels, shares, classes)


@given(scored())
def test_what_is_counted_is_read_as_it_was_told(case: Case) -> None:
    matrix, counted = count(case)
    assert counted.records == matrix.tested == len(case[1])
    assert scores.told(json.loads(json.dumps(counted.to_json())), matrix) == counted


@given(st.lists(scored(), min_size=1, max_size=4))
def test_the_pooled_records_measure_as_scikit_learn_says_within_the_bins_width(cases: list[Case]) -> None:
    size = len(cases[0][0])
    same = [case for case in cases if len(case[0]) == size]
    classes = NAMES[:size]
    labels = np.concatenate([case[1] for case in same])
    shares = np.concatenate([case[2] for case in same])
    of_each = [count(case)[1] for case in cases]
    together = scores.pooled([*of_each, None], classes)
    assert together is not None
    assert together == count((classes, labels, shares))[1]
    of_model = measures(Confusion.count(labels, shares.argmax(axis=1), classes), together)
    assert of_model.scored == len(labels)
    areas = []
    for index, row in enumerate(of_model.classes):
        own, score = labels == index, shares[:, index]
        assert row.discrimination is not None
        assert row.calibration is not None
        areas.append(metrics.roc_auc_score(own, score))
        assert abs(row.discrimination.auc.value - areas[-1]) <= row.discrimination.rounding + 1e-12
        assert abs(row.calibration.brier.value - metrics.brier_score_loss(own, score)) <= 1 / BINS
        # Of two classes the second's bins are told, so that scores on an edge are grouped by it.
        groups = _bins(shares[:, 1] if size == 2 else score)
        claimed = [abs(score[group].sum() - own[group].sum()) for group in groups]
        assert abs(row.calibration.error.value - sum(claimed) / len(own)) <= 1 / (2 * BINS) + 1e-12
    assert of_model.auc is not None
    assert of_model.auc.value == pytest.approx(
        np.mean([row.discrimination.auc.value for row in of_model.classes if row.discrimination])
    )
    assert (
        abs(of_model.auc.value - np.mean(areas))
        <= max(row.discrimination.rounding for row in of_model.classes if row.discrimination) + 1e-12
    )


def _bins(score: np.ndarray) -> list[np.ndarray]:
    found = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], score)
    return [found == number for number in range(BINS)]


@given(scored())
def test_binned_scores_have_exactly_the_area_and_the_curve_that_scikit_learn_gives_them(case: Case) -> None:
    _, counted = count(case)
    for index in range(len(case[0])):
        histogram = counted.of_class(index)
        sides = (histogram.others, histogram.own)
        truth = np.concatenate([np.full(sum(side), which) for which, side in enumerate(sides)])
        bins = np.concatenate([np.repeat(np.arange(BINS), side) for side in sides])
        found = discrimination(histogram)
        assert found is not None
        assert found.auc.value == pytest.approx(metrics.roc_auc_score(truth, bins))
        alarms, hits, _ = metrics.roc_curve(truth, bins, drop_intermediate=False)
        assert {*zip(alarms.round(9), hits.round(9), strict=True)} == {
            (round(across, 9), round(up, 9)) for across, up in found.roc
        }


def test_reliability_is_scikit_learns_calibration_curve() -> None:
    generator = np.random.default_rng(5)
    score = generator.uniform(size=500)
    labels = (generator.uniform(size=500) < score**2).astype(int)
    _, counted = count((NAMES[:2], labels, np.stack([1 - score, score], axis=1)))
    found = calibration(counted.of_class(1))
    assert found is not None
    observed, claimed = calibration_curve(labels, score, n_bins=BINS, strategy="uniform")
    shares = [one.observed for one in found.bins]
    assert [one.value for one in shares if one] == pytest.approx(observed)
    assert all(abs(one.score - said) <= 0.5 / BINS for one, said in zip(found.bins, claimed, strict=True))


def test_the_first_of_two_classes_is_the_mirror_of_the_second() -> None:
    counted = Scores(NAMES[:2], (Histogram((0, 0, 1, 0, 0, 0, 2, 0, 0, 7), (9, 0, 3, 0, 0, 0, 0, 0, 1, 0)),))
    assert counted.of_class(0) == Histogram((0, 1, 0, 0, 0, 0, 0, 3, 0, 9), (7, 0, 0, 2, 0, 0, 0, 1, 0, 0))
    first, second = (discrimination(counted.of_class(index)) for index in (0, 1))
    assert first is not None
    assert second is not None
    assert first.auc == second.auc


def test_a_score_on_an_edge_counts_on_the_side_of_the_answer() -> None:
    # In float32 two shares may be a half and a little less, of which the larger is the answer.
    labels = np.array([1, 0])
    counted = Scores.count(labels, np.array([[0.49999997, 0.5], [0.5, 0.5]]), NAMES[:2]).of_class(1)
    assert counted.own.index(1) == BINS // 2
    assert counted.others.index(1) == BINS // 2 - 1


GOOD = {"own": [0, 1, 0, 0, 1, 0, 0, 0, 0, 40], "others": [48, 2, 0, 0, 0, 0, 3, 0, 0, 0]}


def edited(**changes: Any) -> list[dict[str, Any]]:
    return [GOOD | changes]


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        [],
        [GOOD, GOOD],
        [[GOOD["own"], GOOD["others"]]],
        edited(more=1),
        [{"own": GOOD["own"]}],
        edited(own=None),
        edited(own=GOOD["own"][1:]),
        edited(own=[*GOOD["own"], 0]),
        edited(own=[0.0, *GOOD["own"][1:]]),
        edited(own=[False, *GOOD["own"][1:]]),
        edited(own=[1, 1, 0, 0, 0, 0, 0, 0, -1, 41]),
        edited(own=[0, 1, 0, 0, 0, 0, 0, 0, 0, 40]),
        edited(own=[0, 1, 0, 0, 1, 0, 0, 0, 0, 41]),
        edited(own=[0, 1, 0, 0, 0, 1, 0, 0, 0, 40]),
        edited(others=[48, 2, 0, 0, 1, 0, 2, 0, 0, 0]),
        edited(others=[48, 2, 0, 0, 0, 0, 3, 0, 0, 10**12]),
    ],
)
def test_what_are_no_scores_of_these_records_are_none(value: Any) -> None:
    matrix = Confusion(("benign", "malignant"), ((50, 3), (2, 40)))
    assert scores.told([GOOD], matrix) is not None
    assert scores.told(value, matrix) is None


def test_of_three_classes_an_answer_needs_a_third_and_more_than_a_half_is_one() -> None:
    matrix = Confusion(NAMES, ((8, 1, 1), (0, 9, 1), (0, 0, 10)))
    row = {"own": [0, 0, 0, 10, 0, 0, 0, 0, 0, 0], "others": [20, 0, 0, 0, 0, 0, 0, 0, 0, 0]}
    assert scores.told([row] * 3, matrix) is None  # nobody of the others scores enough for the answers they got
    fitting = [row, row | {"others": [19, 0, 0, 1, *[0] * 6]}, row | {"others": [18, 0, 0, 2, *[0] * 6]}]
    assert scores.told(fitting, matrix) is not None
    assert scores.told([row | {"own": [0, 0, 0, 0, 1, 0, 0, 0, 0, 9]}, *fitting[1:]], matrix) is None
    assert scores.told([row | {"own": [3, 0, 0, 7, *[0] * 6]}, *fitting[1:]], matrix) is None


@pytest.mark.parametrize(("few", "is_told"), [(0, True), (1, False), (LEAST_SCORED - 1, False), (LEAST_SCORED, True)])
def test_a_class_of_few_records_keeps_the_scores_at_the_hospital(few: int, is_told: bool) -> None:
    labels = np.array([0] * 40 + [1] * few)
    shares = np.full((len(labels), 2), 0.5)
    assert Scores.count(labels, shares, NAMES[:2]).may_be_told is is_told


def test_nobody_adds_scores_of_other_classes() -> None:
    histogram = Histogram((0,) * 9 + (10,), (10,) + (0,) * 9)
    ours, theirs = Scores(("a", "b"), (histogram,)), Scores(("a", "c"), (histogram,))
    together = scores.pooled([ours, theirs, ours], ("a", "b"))
    assert together is not None
    assert together.told[0].own[-1] == 20
    assert scores.pooled([theirs, None], ("a", "b")) is None


def test_what_no_record_tells_is_none() -> None:
    one_kind = Scores(("a", "b"), (Histogram((0,) * BINS, (9,) + (0,) * 9),))
    of_model = measures(Confusion(("a", "b"), ((9, 0), (0, 0))), one_kind)
    assert of_model.auc is None
    assert of_model.classes[1].discrimination is None
    assert of_model.classes[1].calibration is not None
    assert calibration(Histogram((0,) * BINS, (0,) * BINS)) is None
    assert measures(Confusion(("a", "b"), ((9, 0), (0, 9)))).auc is None


def test_a_perfect_and_a_useless_model_have_intervals_too() -> None:
    perfect = discrimination(Histogram((0,) * 9 + (20,), (30,) + (0,) * 9))
    useless = discrimination(Histogram((20,) + (0,) * 9, (0,) * 9 + (30,)))
    assert perfect is not None
    assert useless is not None
    assert (perfect.auc.value, perfect.auc.high, perfect.rounding) == (1.0, 1.0, 0.0)
    assert 0.88 < perfect.auc.low < 0.92
    assert useless.auc.low == 0.0
    assert useless.auc.high == pytest.approx(1 - perfect.auc.low)


@pytest.mark.parametrize("many", [1, 10**3, 10**9, 2 * 10**11])
@pytest.mark.parametrize("amiss", [0, 1])
def test_a_limit_is_found_however_many_records_a_hospital_says_it_has(many: int, amiss: int) -> None:
    found = discrimination(Histogram((amiss,) + (0,) * 8 + (many,), (many,) + (0,) * 9))
    assert found is not None
    assert 0 <= found.auc.low <= found.auc.value <= found.auc.high <= 1
    assert found.auc.low >= 1 - 8 / many


@given(st.integers(0, 60), st.integers(1, 60))
def test_a_mean_of_zeros_and_ones_has_the_interval_of_a_share(count: int, total: int) -> None:
    count = min(count, total)
    wilson = share(count, total)
    assert wilson is not None
    assert vars(bounded_mean(count / total, total)) == pytest.approx(vars(wilson), abs=1e-9)


def _cells(spread: float, bend: float) -> tuple[np.ndarray, np.ndarray]:
    """Of a population whose log-odds of scores are normal: chances of each bin, for records of the class and others."""
    logit = np.linspace(-6 * spread, 6 * spread, 20_001)
    weight = np.exp(-((logit / spread) ** 2) / 2)
    own = weight / (1 + np.exp(-bend * logit))
    bins = np.minimum((BINS / (1 + np.exp(-logit))).astype(int), BINS - 1)
    cells = np.stack([np.bincount(bins, part, minlength=BINS) for part in (own, weight - own)]) / weight.sum()
    return cells[0], cells[1]


@pytest.mark.parametrize(
    ("spread", "bend"), [(1.0, 1.0), (3.0, 1.0), (3.0, 0.5), (8.0, 1.0)], ids=["dull", "good", "overconfident", "sharp"]
)
@pytest.mark.parametrize("sizes", [(20, 40), (60, 80), (200, 400)], ids=str)
def test_intervals_hold_their_level_in_1000_simulated_studies(
    spread: float, bend: float, sizes: tuple[int, int]
) -> None:
    own, others = _cells(spread, bend)
    middles = (np.arange(BINS) + 0.5) / BINS
    below = np.concatenate([[0], np.cumsum(others)[:-1]]) + others / 2
    area = float(own @ below / own.sum() / others.sum())
    error = float(np.abs(own - middles * (own + others)).sum())
    brier = float(own @ (1 - middles) ** 2 + others @ middles**2)
    generator = np.random.default_rng(7)
    held = dict.fromkeys(("auc", "error", "brier"), 0)

    def holds(estimate: Estimate, truth: float) -> bool:
        return estimate.low <= truth <= estimate.high

    for _ in range(1000):
        of_sizes = [generator.multinomial(n, part / part.sum()) for n, part in zip(sizes, (own, others), strict=True)]
        found = discrimination(Histogram(*(tuple(part.tolist()) for part in of_sizes)))
        assert found is not None
        held["auc"] += holds(found.auc, area)
        drawn = generator.multinomial(sum(sizes), np.concatenate([own, others])).tolist()
        reliable = calibration(Histogram(tuple(drawn[:BINS]), tuple(drawn[BINS:])))
        assert reliable is not None
        held["error"] += holds(reliable.error, error)
        held["brier"] += holds(reliable.brier, brier)
    assert 940 <= held["auc"] <= 995, held
    # Both are to hold whatever the scores are, and do with some to spare.
    assert held["error"] >= 950, held
    assert held["brier"] >= 950, held
