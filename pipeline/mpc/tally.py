"""Counts by subgroup under encryption, by the two programs that measure a scale: ranges are checked, sums are opened.

A node works out all that is linear by itself, on its components: what the counts must satisfy, their sum over the
hospitals, and how far a group's patients lie above the floor without each of them. `check_range` then tells which
vectors lie within the cap on coordinates, and nothing else; a number that must lie between two others is moved to the
end of that range, once for each of them. The sum is opened as a trimmed mean of three vectors, of which nothing is
trimmed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.domain import COORDINATE_CAP, HospitalName
from pipeline.measures.subgroups import Layout
from pipeline.mpc.engines.base import AggregateTask, Components, RangeTask
from pipeline.mpc.rule import FEWEST_ACCEPTED
from pipeline.mpc.sharing import Vector

_LARGEST = COORDINATE_CAP - 1

Held = Mapping[int, Vector]
"""Component index to words: what one node holds of one vector."""


def most_tested(hospitals: int) -> int:
    """Of how many test records a hospital's counts are at most, so that no sum of so many leaves the cap."""
    return _LARGEST // hospitals


def bounds_task(hospitals: Sequence[HospitalName], layout: Layout) -> RangeTask:
    """Whose counts are those of as many test records as they say."""
    within, nothing = layout.slack(np.zeros(layout.length, np.int64), 0)
    return RangeTask(tuple(hospitals), 2 * (len(within) + len(nothing)))


def bounds(counts: Components, layout: Layout, tested: Mapping[HospitalName, int]) -> Components:
    """The vectors of `bounds_task`, which lie within the cap exactly where the counts keep their bounds."""

    def moved(words: Vector, records: int, one: int) -> Vector:
        within, nothing = layout.slack(words, records)
        low = np.concatenate([within, nothing]) - one * _LARGEST
        high = np.concatenate([within - records, nothing]) + one * _LARGEST
        return np.concatenate([low, high])

    return {
        hospital: {index: moved(words, *_public(index, tested[hospital])) for index, words in held.items()}
        for hospital, held in counts.items()
    }


def summed(counts: Components, hospitals: Sequence[HospitalName]) -> Held:
    """Components of the sum over these hospitals, of those that a node holds."""
    rows = [counts[hospital] for hospital in hospitals]
    return {index: np.sum([held[index] for held in rows], axis=0, dtype=np.int64) for index in rows[0]}


def floor_task(hospitals: Sequence[HospitalName], layout: Layout) -> RangeTask:
    """Which groups have the floor's patients of each class whichever hospital is left out, then which have no record.

    Each hospital can take its own patients off a total, and one that lies may have made them up.
    """
    groups = range(sum(layout.groups))
    return RangeTask(_named("enough", groups) + _named("empty", groups), len(layout.classes) * len(hospitals))


def floors(counts: Components, hospitals: Sequence[HospitalName], layout: Layout, floor: int) -> Components:
    """The vectors of `floor_task`."""
    vectors: dict[HospitalName, dict[int, Vector]] = {name: {} for name in floor_task(hospitals, layout).hospitals}
    for index, words in summed(counts, hospitals).items():
        least, one = _public(index, floor)
        patients = [layout.sizes(words - counts[hospital][index])[0] for hospital in hospitals]
        enough = np.concatenate(patients, axis=1) - least - one * _LARGEST
        empty = np.zeros_like(enough)
        empty[:, 0] = layout.sizes(words)[1] + one * _LARGEST
        for vector, row in zip(vectors.values(), [*enough, *empty], strict=True):
            vector[index] = row
    return vectors


def opening_task(layout: Layout) -> AggregateTask:
    """The sum of three vectors: that of the counts, and two of zeros."""
    return AggregateTask(_named("sum", range(FEWEST_ACCEPTED)), layout.length)


def opening(total: Held, layout: Layout, shown: Sequence[bool]) -> Components:
    """The vectors of `opening_task`, with nothing in the place of what is not shown."""
    first, *others = opening_task(layout).hospitals
    zeros = {index: np.zeros_like(words) for index, words in total.items()}
    return {first: {index: layout.only(words, shown) for index, words in total.items()}, **dict.fromkeys(others, zeros)}


def _public(index: int, value: int) -> tuple[int, int]:
    """A number that every node knows, and 1, as component `index` of each: the first carries it, the others zero."""
    return (0, 0) if index else (value, 1)


def _named(what: str, numbers: range) -> tuple[HospitalName, ...]:
    """Names that no hospital can have."""
    return tuple(HospitalName(f"{what}/{number}") for number in numbers)
