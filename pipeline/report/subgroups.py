"""Whom a model fails: what a round's totals by groups of patients tell of the model that it started from."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from pipeline.audit.round_record import RecordGroup, RoundRecord
from pipeline.domain import HospitalName
from pipeline.measures.estimates import Measures, measures
from pipeline.measures.intervals import Estimate
from pipeline.measures.subgroups import Layout

_MOST_DRAWN = 6
"""Classes."""


@dataclass(frozen=True)
class GroupRow:
    """The patients of one group, of all hospitals together."""

    column: str
    name: str
    withheld: bool
    """Whether it is below the floor, or would give away one that is."""
    patients: tuple[int, ...]
    """Of each class; empty where withheld."""
    measures: Measures | None
    """None where withheld, and where nobody is of the group."""

    @property
    def sensitivities(self) -> tuple[Estimate | None, ...]:
        """Of each class."""
        return tuple(row.sensitivity for row in self.measures.classes) if self.measures else ()

    @property
    def remark(self) -> str:
        """Why nothing is told; empty where something is."""
        if self.withheld:
            return "withheld"
        return "" if self.measures else "nobody"

    def to_json(self) -> dict[str, Any]:
        """For `--json`, metrics and the model card."""
        return {
            "column": self.column,
            "group": self.name,
            "withheld": self.withheld,
            "patients": list(self.patients),
            "measures": self.measures.to_json() if self.measures else None,
        }


@dataclass(frozen=True)
class SubgroupsView:
    """What a round tells by group."""

    floor: int
    classes: tuple[str, ...]
    hospitals: tuple[HospitalName, ...]
    """Whose test records the totals are of."""
    missing: tuple[HospitalName, ...]
    """Those of them that did not take part in the round, so that it opened no totals."""
    uncounted: tuple[HospitalName, ...]
    """Hospitals that have too few test records of a class to be counted."""
    broke: tuple[HospitalName, ...]
    """Hospitals whose counts broke their bounds, and are not counted any more."""
    rows: tuple[GroupRow, ...]
    """Empty where no totals were opened."""

    @property
    def columns(self) -> list[tuple[str, list[GroupRow]]]:
        """The rows of each column."""
        return [(column, list(rows)) for column, rows in groupby(self.rows, key=lambda row: row.column)]

    @property
    def drawn_classes(self) -> tuple[str, ...]:
        """Those that pictures have: the first ones, since colours and rows run out."""
        return self.classes[:_MOST_DRAWN]

    @property
    def drawn(self) -> list[tuple[str, list[GroupRow]]]:
        """The rows of each column of which something is told."""
        told = [(column, [row for row in rows if row.measures]) for column, rows in self.columns]
        return [(column, rows) for column, rows in told if rows]

    @property
    def because(self) -> str:
        """Why no totals were opened; empty where they were."""
        if self.rows:
            return ""
        if self.missing:
            return f"{', '.join(self.missing)} did not take part, and the others' totals would show its counts"
        if few := [name for name in self.hospitals if name in self.uncounted]:
            return f"{', '.join(few)} had too few test records of a class, and the others' totals would show its counts"
        return "too few hospitals shared counts that keep their bounds"

    def to_json(self) -> dict[str, Any]:
        """For `--json`, metrics and the model card."""
        return {
            "floor": self.floor,
            "hospitals": list(self.hospitals),
            "missing": list(self.missing),
            "uncounted": list(self.uncounted),
            "broke": list(self.broke),
            "groups": [row.to_json() for row in self.rows],
        }


def view(record: RoundRecord) -> SubgroupsView | None:
    """What the record tells by group; None where its study counts none."""
    told = record.subgroups
    if told is None:
        return None
    return SubgroupsView(
        floor=told.floor,
        classes=record.classes,
        hospitals=told.hospitals,
        missing=tuple(name for name in told.hospitals if name not in record.inputs),
        uncounted=told.uncounted,
        broke=told.broke,
        rows=tuple(_row(group, Layout(record.classes, told.scored, (1,))) for group in told.groups or ()),
    )


def _row(group: RecordGroup, layout: Layout) -> GroupRow:
    if group.counts is None:
        return GroupRow(group.column, group.name, True, (), None)
    (counts,) = layout.read(np.array(group.counts, dtype=np.int64))
    found = measures(counts.confusion, counts.scores) if counts.confusion.tested else None
    return GroupRow(group.column, group.name, False, counts.patients, found)
