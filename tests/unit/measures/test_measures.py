from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from pipeline.measures.confusion import LEAST_OF_CLASS, Confusion, pooled, told
from pipeline.measures.estimates import measures
from pipeline.measures.intervals import mean, share

NAMES = ("benign", "malignant", "unclear")


@st.composite
def answered(draw: st.DrawFn) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Class names, labels in which each class occurs, and a model's answers."""
    size = draw(st.integers(2, 3))
    more = draw(st.lists(st.integers(0, size - 1), max_size=40))
    labels = np.array([*range(size), *more])
    answers = np.array(draw(st.lists(st.integers(0, size - 1), min_size=len(labels), max_size=len(labels))))
    return NAMES[:size], labels, answers


@given(answered())
def test_every_measure_equals_scikit_learns(case: tuple[tuple[str, ...], np.ndarray, np.ndarray]) -> None:
    classes, labels, answers = case
    matrix = Confusion.count(labels, answers, classes)
    of_matrix = measures(matrix)
    numbers = list(range(len(classes)))
    assert matrix.counts == tuple(map(tuple, metrics.confusion_matrix(labels, answers, labels=numbers)))
    assert of_matrix.accuracy is not None
    assert of_matrix.balanced_accuracy is not None
    assert of_matrix.accuracy.value == pytest.approx(metrics.accuracy_score(labels, answers))
    assert of_matrix.balanced_accuracy.value == pytest.approx(metrics.balanced_accuracy_score(labels, answers))
    sensitivities = metrics.recall_score(labels, answers, labels=numbers, average=None, zero_division=0)
    for index, row in enumerate(of_matrix.classes):
        specificity = metrics.recall_score(labels != index, answers != index, zero_division=0)
        assert row.sensitivity is not None
        assert row.specificity is not None
        assert row.sensitivity.value == pytest.approx(sensitivities[index])
        assert row.specificity.value == pytest.approx(specificity)


@given(st.lists(answered(), min_size=1, max_size=4))
def test_hospitals_matrices_add_up_to_the_one_of_all_their_records(
    cases: list[tuple[tuple[str, ...], np.ndarray, np.ndarray]],
) -> None:
    labels = np.concatenate([case[1] for case in cases])
    answers = np.concatenate([case[2] for case in cases])
    of_each = [Confusion.count(*case[1:], NAMES) for case in cases]
    assert pooled([*of_each, None]) == Confusion.count(labels, answers, NAMES)


def test_nobody_adds_other_classes_to_those_of_most_and_nothing_is_no_matrix() -> None:
    ours = Confusion(("a", "b"), ((9, 1), (2, 8)))
    theirs = Confusion(("a", "c"), ((900, 100), (200, 800)))
    assert pooled([theirs, ours, ours]) == Confusion(("a", "b"), ((18, 2), (4, 16)))
    assert pooled([None, None]) is None


def test_a_matrix_is_read_as_it_was_told() -> None:
    matrix = Confusion(("benign", "malignant"), ((50, 3), (2, 40)))
    assert told(json.loads(json.dumps(matrix.to_json())), 90, 95) == matrix


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {"counts": [[50, 3], [2, 40]]},
        {"classes": ["a", "b"], "counts": [[50, 3], [2, 40]], "more": 1},
        {"classes": ["a"], "counts": [[95]]},
        {"classes": ["a", "a"], "counts": [[50, 3], [2, 40]]},
        {"classes": ["a", "\n"], "counts": [[50, 3], [2, 40]]},
        {"classes": ["a", "b" * 61], "counts": [[50, 3], [2, 40]]},
        {"classes": ["a", 2], "counts": [[50, 3], [2, 40]]},
        {"classes": ["a", "b"], "counts": [[50, 3]]},
        {"classes": ["a", "b"], "counts": [[50, 3], [2, 40, 0]]},
        {"classes": ["a", "b"], "counts": [[50, 3], [2, 40.0]]},
        {"classes": ["a", "b"], "counts": [[50, 3], [2, True]]},
        {"classes": ["a", "b"], "counts": [[50, 8], [-3, 40]]},
        {"classes": ["a", "b"], "counts": [[51, 2], [2, 40]]},
        {"classes": ["a", "b"], "counts": [[50, 3], [3, 40]]},
        {"classes": "ab", "counts": [[50, 3], [2, 40]]},
    ],
)
def test_what_is_no_matrix_of_these_records_is_none(value: Any) -> None:
    assert told(value, 90, 95) is None


@pytest.mark.parametrize(
    ("few", "is_told"), [(0, True), (1, False), (LEAST_OF_CLASS - 1, False), (LEAST_OF_CLASS, True)]
)
def test_a_class_of_few_records_keeps_the_matrix_at_the_hospital(few: int, is_told: bool) -> None:
    assert Confusion(("a", "b"), ((40, 2), (0, few))).may_be_told is is_told


def test_what_no_record_tells_is_none() -> None:
    of_matrix = measures(Confusion(("a", "b"), ((0, 0), (1, 9))))
    assert of_matrix.balanced_accuracy is None
    assert of_matrix.classes[0].sensitivity is None
    assert of_matrix.classes[1].specificity is None
    assert measures(Confusion(("a", "b"), ((0, 0), (0, 0)))).accuracy is None
    assert mean([]) is None


def test_a_perfect_model_has_an_interval_too() -> None:
    perfect = share(30, 30)
    assert perfect is not None
    assert (perfect.value, perfect.high) == (1.0, 1.0)
    assert 0.88 < perfect.low < 0.89
    assert str(share(52, 55)) == "94.5 % (85.1 to 98.1)"


def test_intervals_hold_their_level_in_1000_simulated_studies() -> None:
    generator = np.random.default_rng(7)
    truth = {"accuracy": 0.0, "balanced_accuracy": 0.0}
    right = (0.93, 0.81)
    records = (60, 35)
    truth["accuracy"] = sum(p * n for p, n in zip(right, records, strict=True)) / sum(records)
    truth["balanced_accuracy"] = sum(right) / 2
    held = dict.fromkeys(truth, 0)
    for _ in range(1000):
        first, second = (int(generator.binomial(n, p)) for n, p in zip(records, right, strict=True))
        matrix = Confusion(("a", "b"), ((first, records[0] - first), (records[1] - second, second)))
        of_matrix = measures(matrix)
        for name, value in truth.items():
            estimate = getattr(of_matrix, name)
            held[name] += estimate.low <= value <= estimate.high
    assert all(930 <= count <= 985 for count in held.values()), held
