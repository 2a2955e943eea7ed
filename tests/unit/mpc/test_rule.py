"""The public integer parts of the rule."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.mpc import rule


@pytest.mark.parametrize(
    ("hospitals", "trimmed", "answers"), [(3, 1, 32), (4, 1, 64), (5, 2, 32), (6, 2, 64), (10, 4, 64), (20, 8, 128)]
)
def test_the_middle_of_the_owners_counts(hospitals: int, trimmed: int, answers: int) -> None:
    assert rule.owners_trimmed(hospitals) == trimmed
    assert rule.answers_counted(hospitals, 32) == answers


@pytest.mark.parametrize(
    ("accepted", "trimmed"), [(3, 0), (4, 0), (5, 1), (6, 1), (7, 2), (9, 3), (10, 3), (15, 6), (20, 8)]
)
def test_the_opened_middle_always_averages_three_updates_or_more(accepted: int, trimmed: int) -> None:
    assert rule.updates_trimmed(accepted) == trimmed
    assert accepted - 2 * trimmed >= 3


@pytest.mark.parametrize("accepted", range(3, 60))
def test_an_odd_number_of_updates_stands_behind_each_opened_coordinate(accepted: int) -> None:
    averaged = rule.updates_averaged(accepted)
    assert averaged >= 3
    assert averaged % 2 == 1
    assert 0 <= accepted - 2 * rule.updates_trimmed(accepted) - averaged <= 1


@pytest.mark.parametrize("accepted", [0, 1, 2])
def test_fewer_than_three_updates_are_never_opened(accepted: int) -> None:
    with pytest.raises(ValueError, match=f"got {accepted} accepted updates, want at least 3"):
        rule.updates_trimmed(accepted)


def test_the_lower_median_of_an_even_number_is_the_smaller_one() -> None:
    assert [rule.lower_median(count) for count in (1, 2, 3, 4, 5, 10)] == [0, 0, 1, 1, 2, 4]


def test_the_new_model_rounds_halves_up_and_stays_within_its_cap() -> None:
    previous = np.array([0, 0, 0, 0, rule.MODEL_CAP, -rule.MODEL_CAP])
    total = np.array([1, -1, 3, -3, 5, -5])
    assert rule.new_model(previous, total, 2).tolist() == [1, 0, 2, -1, rule.MODEL_CAP, -rule.MODEL_CAP]


def test_a_model_beyond_the_norm_cap_is_shrunk_onto_it_and_any_other_is_left_alone() -> None:
    large = np.array([rule.MODEL_CAP, -rule.MODEL_CAP] * 200 + [7, -7, 0])
    capped = rule.new_model(large, np.zeros_like(large), 3)
    assert 0.999 * rule.MODEL_NORM_CAP < int(capped @ capped) <= rule.MODEL_NORM_CAP
    assert capped[-3:].tolist() == [5, -5, 0]
    assert not rule.is_within_caps(large)
    assert rule.is_within_caps(capped)
    assert np.array_equal(rule.capped(capped), capped)
    assert not rule.is_within_caps(np.array([rule.MODEL_CAP + 1]))


def test_the_next_budget_is_nine_quarters_rounded_down() -> None:
    assert [rule.next_budget(norm) for norm in (0, 1, 2, 3, 4)] == [0, 2, 4, 6, 9]


def test_a_published_budget_is_never_nothing() -> None:
    assert [rule.floored(budget) for budget in (0, rule.LEAST_BUDGET, 1 << 30)] == [
        rule.LEAST_BUDGET,
        rule.LEAST_BUDGET,
        1 << 30,
    ]
