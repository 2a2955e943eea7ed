"""Counts by groups of patients: one vector of integers that adds up over hospitals, what it must satisfy, how it reads.

The words of a group: its confusion matrix by rows, its patients of each class, and where scores are told the histograms
of each class that is told, own records before others. Groups follow one another by column.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.measures.confusion import Confusion
from pipeline.measures.scores import BINS, Histogram, Scores, told_classes

Words = npt.NDArray[np.int64]

FEWEST_COUNTED = 3
"""Hospitals: of fewer no total is opened, since who is one of two reads the other's counts."""

LEAST_FLOOR = 10
"""Fewest patients of each class in a group that any study tells of."""


@dataclass(frozen=True)
class Counts:
    """What is told of the patients of one group, all hospitals together."""

    confusion: Confusion
    patients: tuple[int, ...]
    """Of each class."""
    scores: Scores | None


@dataclass(frozen=True)
class Layout:
    """Where each count stands."""

    classes: tuple[str, ...]
    scored: bool
    """Whether histograms of scores are among them."""
    groups: tuple[int, ...]
    """How many groups each column makes."""

    @property
    def told(self) -> range:
        """Classes whose histograms are told."""
        return told_classes(len(self.classes)) if self.scored else range(0)

    @property
    def words(self) -> int:
        """Of one group."""
        return len(self.classes) * (len(self.classes) + 1) + 2 * BINS * len(self.told)

    @property
    def length(self) -> int:
        """Of the vector."""
        return sum(self.groups) * self.words

    def count(
        self,
        labels: npt.NDArray[np.int64],
        shares: npt.NDArray[np.float64],
        columns: Sequence[npt.NDArray[np.int64]],
        patients: npt.NDArray[np.int64],
    ) -> Words:
        """The vector of test records with these labels (n,), shares (n, classes), group by column and patient (n,)."""
        answers = shares.argmax(axis=1)
        counted = []
        for groups, column in zip(self.groups, columns, strict=True):
            for group in range(groups):
                rows = column == group
                matrix = Confusion.count(labels[rows], answers[rows], self.classes)
                people = [len(np.unique(patients[rows & (labels == index)])) for index in range(len(self.classes))]
                bins = Scores.count(labels[rows], shares[rows], self.classes).told if self.scored else ()
                counted += [*np.ravel(matrix.counts), *people, *np.ravel([(one.own, one.others) for one in bins])]
        return np.array(counted, dtype=np.int64)

    def slack(self, words: Words, tested: Words | int) -> tuple[Words, Words]:
        """What must lie between 0 and `tested`, and what must be 0, of the vector of a hospital with `tested` records.

        Linear in both, so that it can be taken of shares too.
        """
        matrices, patients, histograms = self._parts(words)
        rows = matrices.sum(axis=2)
        records = rows.sum(axis=1)
        within = np.concatenate([words, (rows - patients).ravel()])
        starts = np.cumsum((0, *self.groups))[:-1]
        sums = np.add.reduceat(records, starts) - tested
        of_told = rows[:, list(self.told)]
        sides = histograms.sum(axis=3)
        others = sides[:, :, 1] - (records[:, None] - of_told)
        return within, np.concatenate([sums, (sides[:, :, 0] - of_told).ravel(), others.ravel()])

    def sizes(self, words: Words) -> tuple[Words, Words]:
        """Patients of each group and class, (groups, classes), and records of each group; linear in the vector."""
        matrices, patients, _ = self._parts(words)
        return patients, matrices.sum(axis=(1, 2))

    def at_odds(self, words: Words, tested: int) -> bool:
        """Whether these are no counts of `tested` records: some are too small or too large, or do not add up."""
        within, nothing = self.slack(words, tested)
        return bool(within.min() < 0 or within.max() > tested or nothing.any())

    def only(self, words: Words, groups: Sequence[bool]) -> Words:
        """The vector with 0 in the place of all counts of the other groups."""
        return (words.reshape(-1, self.words) * np.array(groups, dtype=np.int64)[:, None]).ravel()

    def read(self, words: Words) -> list[Counts]:
        """Each group's counts."""
        matrices, patients, histograms = self._parts(words)
        return [self._group(*parts) for parts in zip(matrices, patients, histograms, strict=True)]

    def _group(self, matrix: Words, patients: Words, histograms: Words) -> Counts:
        told = tuple(Histogram(*(tuple(side.tolist()) for side in one)) for one in histograms)
        return Counts(
            Confusion(self.classes, tuple(map(tuple, matrix.tolist()))),
            tuple(patients.tolist()),
            Scores(self.classes, told) if self.scored else None,
        )

    def _parts(self, words: Words) -> tuple[Words, Words, Words]:
        """Matrices (groups, classes, classes), patients (groups, classes), histograms (groups, told, 2, bins)."""
        size = len(self.classes)
        by_group = words.reshape(-1, self.words)
        matrices, patients, histograms = np.split(by_group, [size * size, size * size + size], axis=1)
        shape = (-1, len(self.told), 2, BINS)
        return matrices.reshape(-1, size, size), patients, histograms.reshape(len(by_group), *shape[1:])

    def by_column(self, groups: Sequence[bool]) -> Iterator[Sequence[bool]]:
        """What is said of each group, column by column."""
        start = 0
        for count in self.groups:
            yield groups[start : start + count]
            start += count


def told(layout: Layout, enough: Sequence[bool], empty: Sequence[bool]) -> list[bool]:
    """Which groups may be told, where `enough` have the floor's patients and `empty` have nobody.

    Where a column has a group that may not, its nearest one that could is withheld too: else what is told, taken from
    the whole, would give it away.
    """
    shown = []
    for of_column, nobody in zip(layout.by_column(enough), layout.by_column(empty), strict=True):
        withheld = [place for place, pair in enumerate(zip(of_column, nobody, strict=True)) if not any(pair)]
        if withheld and any(of_column):
            filled = [place for place, is_enough in enumerate(of_column) if is_enough]
            withheld.append(min(filled, key=lambda place: min(abs(place - one) for one in withheld)))
        shown += [place not in withheld for place in range(len(of_column))]
    return shown
