"""When a study is done: what its course asks, decided from what hospitals signed about its last rounds' models.

The same numbers give the same answer everywhere, so that nodes agree on it and an auditor can check it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median_low

from pipeline.domain import Ending
from pipeline.measures.intervals import Estimate
from pipeline.measures.table import MEASURES, Told, together
from pipeline.study.fields import Course, Target

MOST_OVER_MEDIAN = 2
"""A hospital counts with so many times the test records of the median hospital at most, whatever it claims."""


def window(course: Course) -> int:
    """The last rounds of the study whose confirmations decide, this one among them."""
    return 1 + (course.patience or 0)


def has_run(course: Course, rounds: int) -> bool:
    """Whether the study has had the rounds that its course allows, whatever hospitals told."""
    return course.most_rounds is not None and rounds >= course.most_rounds


def weighed(course: Course, told: Iterable[Told], hospitals: int) -> Told | None:
    """What hospitals told of one round's model, each with a bounded weight.

    None unless a majority of the study's `hospitals` told what the course goes by, of the same classes.
    """
    needs = MEASURES[course.measure].needs
    telling = [one for one in told if one.tested and (needs != "scores" or one.scores is not None)]
    if needs != "accuracy":
        classes = Counter(one.confusion.classes for one in telling if one.confusion).most_common(1)
        telling = [one for one in telling if one.confusion and one.confusion.classes == classes[0][0]]
    if 2 * len(telling) <= hospitals:
        return None
    most = MOST_OVER_MEDIAN * median_low(one.tested for one in telling)
    return together(one.reduced(most) for one in telling)


def ending(course: Course, told: Sequence[Told | None], rounds: int) -> Ending | None:
    """Why the study ends after its round number `rounds`; None while it goes on.

    `told` is of its last rounds, at most `window` of them, oldest first; None of one that too few hospitals measured.
    The number of rounds comes first: no confirmation can have nodes disagree about it.
    """
    if has_run(course, rounds):
        return Ending.MOST_ROUNDS
    estimates = [estimate(course, one) for one in told]
    last = estimates[-1] if estimates else None
    if course.target is not None and last is not None and last.low >= float(course.target.value):
        return Ending.TARGET_REACHED
    if course.patience is not None and len(told) > course.patience and not gained(estimates):
        return Ending.NOTHING_GAINED
    return None


def gained(estimates: Sequence[Estimate | None]) -> bool:
    """Whether one of the later rounds lies above the 95 % interval of the first.

    A round that too few measured leaves that open, which counts as a gain: the study goes on.
    """
    first, *later = estimates
    return first is None or any(one is None or one.value > first.high for one in later)


def estimate(course: Course, told: Told | None) -> Estimate | None:
    """The measure that the course goes by, with its 95 % interval."""
    if told is None:
        return None
    return MEASURES[course.measure].estimate(told, course.target.of if course.target else None)


def conditions(course: Course) -> tuple[str, ...]:
    """What the course asks, each in words that follow "as soon as"."""
    return (
        *(
            [f"the lower end of the 95 % interval of its {_named(course)} is {_share(course.target)}"]
            if course.target
            else ()
        ),
        *([f"{_lately(course)} above the 95 % interval of the {_named(course)} before"] if course.patience else ()),
        *([f"it has had {course.most_rounds} rounds"] if course.most_rounds else ()),
    )


def because(course: Course, reason: str) -> str:
    """Why a study is concluded, in words that follow "concluded: "."""
    match reason:
        case Ending.TARGET_REACHED if course.target:
            share = _share(course.target)
            return f"the lower end of the 95 % interval of its {_named(course)} reached the target of {share}"
        case Ending.NOTHING_GAINED if course.patience:
            return f"{_lately(course)} above the 95 % interval of the {_named(course)} before"
        case Ending.MOST_ROUNDS if course.most_rounds:
            return f"it has had the {course.most_rounds} rounds that its course allows"
        case _:
            return f"its nodes gave the reason {reason}"


def _share(target: Target) -> str:
    return f"{(100 * target.value).normalize():f} %"


def _lately(course: Course) -> str:
    return "its last round did not lie" if course.patience == 1 else f"none of its last {course.patience} rounds lay"


def _named(course: Course) -> str:
    title = MEASURES[course.measure].title
    return f"{title} of {course.target.of}" if course.target and course.target.of else title
