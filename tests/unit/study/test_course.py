"""When a study is done: from counts alone, with their intervals, and in words."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from pipeline.domain import Ending
from pipeline.measures.confusion import Confusion
from pipeline.measures.scores import Histogram, Scores
from pipeline.measures.table import LEVELS, MEASURES, Told, together
from pipeline.study import course as courses
from pipeline.study.fields import Course

SENSITIVE = {"measure": "sensitivity", "of": "ill", "value": 0.8}


def told(correct: int, tested: int = 100) -> Told:
    return Told(correct, tested)


def matrix(*rows: tuple[int, int]) -> Told:
    confusion = Confusion(("well", "ill"), rows)
    return Told(confusion.correct, confusion.tested, confusion)


def scored() -> Told:
    """The same as a matrix, with the scores of the second class."""
    histogram = Histogram((0, 0, 1, 0, 1, 0, 3, 0, 0, 5), (5, 0, 3, 1, 0, 1, 0, 0, 0, 0))
    return replace(matrix((9, 1), (2, 8)), scores=Scores(("well", "ill"), (histogram,)))


def ending(course: dict[str, Any], *rounds: Told, finished: int | None = None) -> Ending | None:
    read = Course.model_validate(course)
    return courses.ending(read, rounds[-courses.window(read) :], len(rounds) if finished is None else finished)


def test_a_target_is_reached_by_the_lower_end_of_the_interval_and_not_by_the_value() -> None:
    # Wilson's interval of 90 of 100 is 82.6 to 94.5 %
    target = {"measure": "accuracy", "value": 0.826}
    assert ending({"target": target}, told(90)) is None
    assert ending({"target": target}, told(91)) is Ending.TARGET_REACHED
    assert ending({"target": target | {"value": 0.825}}, told(90)) is Ending.TARGET_REACHED


def test_the_last_round_alone_reaches_a_target() -> None:
    assert ending({"target": {"measure": "accuracy", "value": 0.8}, "patience": 5}, told(99), told(80)) is None


def test_a_target_of_one_class_goes_by_its_records_alone() -> None:
    assert ending({"target": SENSITIVE}, matrix((1, 99), (5, 95))) is Ending.TARGET_REACHED
    assert ending({"target": SENSITIVE}, matrix((99, 1), (20, 80))) is None


def test_what_nobody_told_reaches_nothing() -> None:
    assert ending({"target": SENSITIVE}, told(100)) is None
    assert ending({"target": {"measure": "accuracy", "value": 0.1}}, told(0, 0)) is None


def test_a_round_gains_that_lies_above_the_interval_of_the_first_of_the_window() -> None:
    # Wilson's interval of 80 of 100 ends at 86.7 %
    patient = {"patience": 2}
    assert ending(patient, told(80), told(80)) is None, "two rounds are too few for a patience of two"
    assert ending(patient, told(80), told(86), told(82)) is Ending.NOTHING_GAINED
    assert ending(patient, told(80), told(87), told(82)) is None
    assert ending(patient, told(60), told(80), told(86), told(82)) is Ending.NOTHING_GAINED
    assert ending(patient, told(80), told(87), told(82), told(82)) is Ending.NOTHING_GAINED


def test_a_round_that_nobody_measured_does_not_end_a_study() -> None:
    assert ending({"patience": 2}, told(0, 0), told(80), told(80)) is None
    assert ending({"patience": 2}, told(80), told(0, 0), told(80)) is None


def test_patience_goes_by_the_measure_of_the_target() -> None:
    rounds = [matrix((50, 50), (40, 60)), matrix((100, 0), (40, 60))]
    assert ending({"patience": 1}, *rounds) is None
    assert ending({"patience": 1, "target": SENSITIVE}, *rounds) is Ending.NOTHING_GAINED


def test_rounds_are_counted_and_their_number_comes_first() -> None:
    course = {"most_rounds": 3, "patience": 2, "target": {"measure": "accuracy", "value": 0.7}}
    assert ending(course, told(60), finished=2) is None
    assert ending(course, told(60), finished=3) is Ending.MOST_ROUNDS
    assert ending(course, told(60), finished=4) is Ending.MOST_ROUNDS
    assert ending(course, told(60), told(61), told(90), finished=3) is Ending.MOST_ROUNDS
    assert ending(course | {"most_rounds": 9}, told(60), told(61), told(62)) is Ending.NOTHING_GAINED
    assert ending(course | {"most_rounds": 9}, told(60), told(61), told(90)) is Ending.TARGET_REACHED


def weighed(course: dict[str, Any], hospitals: int, *given: Told) -> Told | None:
    return courses.weighed(Course.model_validate(course), given, hospitals)


def test_fewer_than_a_majority_of_the_hospitals_tell_nothing() -> None:
    assert weighed({"patience": 1}, 4, told(80), told(80)) is None
    assert weighed({"patience": 1}, 4, told(80), told(80), told(0, 0)) is None
    assert weighed({"patience": 1}, 4, told(80), told(80), told(80)) == told(240, 300)
    assert weighed({"target": SENSITIVE}, 4, told(80), matrix((1, 1), (1, 1)), matrix((1, 1), (1, 1))) is None
    assert weighed({"target": {"measure": "auc", "value": 0.5}}, 1, matrix((9, 1), (2, 8))) is None


def test_hospitals_that_name_other_classes_than_most_tell_nothing_of_a_class() -> None:
    ours = matrix((9, 1), (2, 8))
    theirs = Told(20, 20, Confusion(("fine", "ill"), ((10, 0), (0, 10))))
    assert weighed({"target": SENSITIVE}, 3, ours, ours, theirs) == together([ours, ours])
    assert weighed({"target": SENSITIVE}, 4, ours, ours, theirs, theirs) is None


def test_a_hospital_counts_with_twice_the_median_of_test_records_at_most() -> None:
    assert weighed({"patience": 1}, 3, told(60), told(50), told(10**9, 10**9)) == told(310, 400)
    assert weighed({"patience": 1}, 3, told(60), told(50), told(0, 10**9)) == told(110, 400)
    assert weighed({"patience": 1}, 3, told(60), told(50), told(150, 200)) == told(260, 400), "twice is not too much"
    honest = matrix((9, 1), (2, 8))
    false = matrix((0, 0), (0, 10**9))
    assert weighed({"target": SENSITIVE}, 3, honest, honest, false) == together(
        [honest, honest, matrix((0, 0), (0, 40))]
    )


def test_counts_scaled_down_are_rounded_down() -> None:
    reduced = scored().reduced(10)
    assert (reduced.correct, reduced.tested) == (8, 10)
    assert reduced.confusion == Confusion(("well", "ill"), ((4, 0), (1, 4)))
    assert reduced.scores is not None
    assert reduced.scores.told == (Histogram((0, 0, 0, 0, 0, 0, 1, 0, 0, 2), (2, 0, 1, 0, 0, 0, 0, 0, 0, 0)),)
    assert scored().reduced(20) == scored()


@pytest.mark.parametrize(
    ("course", "reason", "words"),
    [
        ({"target": SENSITIVE}, "target_reached", "interval of its sensitivity of ill reached the target of 80 %"),
        ({"target": SENSITIVE | {"value": "0.975"}}, "target_reached", "the target of 97.5 %"),
        (
            {"patience": 1},
            "nothing_gained",
            "its last round did not lie above the 95 % interval of the accuracy before",
        ),
        ({"patience": 4}, "nothing_gained", "none of its last 4 rounds lay above the 95 % interval"),
        ({"most_rounds": 7}, "most_rounds", "it has had the 7 rounds that its course allows"),
        ({"most_rounds": 7}, "target_reached", "its nodes gave the reason target_reached"),
        ({"most_rounds": 7}, "bored", "its nodes gave the reason bored"),
    ],
)
def test_every_reason_has_words_and_one_that_the_course_does_not_know_is_told_as_it_is(
    course: dict[str, Any], reason: str, words: str
) -> None:
    assert words in courses.because(Course.model_validate(course), reason)


def test_the_conditions_are_told_before_they_hold() -> None:
    course = Course.model_validate({"target": SENSITIVE, "patience": 3, "most_rounds": 9})
    assert courses.conditions(course) == (
        "the lower end of the 95 % interval of its sensitivity of ill is 80 %",
        "none of its last 3 rounds lay above the 95 % interval of the sensitivity of ill before",
        "it has had 9 rounds",
    )


def test_a_course_keeps_its_value_as_it_is_written() -> None:
    course = Course.model_validate({"target": SENSITIVE | {"value": 0.1}})
    assert course.target is not None
    assert course.target.value == Decimal("0.1")
    assert Course.model_validate_json(course.model_dump_json(), strict=True) == course


@pytest.mark.parametrize("name", MEASURES)
def test_each_measure_of_the_table_is_told_by_what_it_says_it_needs(name: str) -> None:
    measure = MEASURES[name]
    of = "ill" if measure.of_class else None
    levels = [told(17, 20), matrix((9, 1), (2, 8)), scored()]
    needs = LEVELS.index(measure.needs)
    assert [measure.estimate(one, of) is not None for one in levels] == [level >= needs for level in range(3)]


def test_hospitals_together_are_added_up() -> None:
    assert together([matrix((9, 1), (2, 8)), told(3, 4), matrix((1, 0), (0, 1))]) == Told(
        22, 26, Confusion(("well", "ill"), ((10, 1), (2, 9)))
    )
