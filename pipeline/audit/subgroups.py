"""The check of what a round counted by groups of patients.

Over whom it was summed, that it adds up, and that nothing below the floor was told.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from pipeline.audit.round_evidence import HistoryEvidence, RoundEvidence
from pipeline.audit.round_record import RecordGroup, RecordSubgroups
from pipeline.domain import HospitalName
from pipeline.errors import EvidenceRejected
from pipeline.measures.subgroups import FEWEST_COUNTED, Layout


def subgroups(evidence: RoundEvidence) -> str:
    """Totals are opened where all their hospitals count, each is above the floor, and they add up."""
    record = evidence.record
    counted = record.subgroups
    if counted is None:
        return "none counted"
    want = counted.hospitals
    tested = {name: _tested(evidence, name) for name in record.inputs}
    uncounted = tuple(member.name for member in record.hospitals if tested.get(member.name) == 0)
    if counted.uncounted != uncounted:
        raise EvidenceRejected(
            f"round {record.round}: got {_listed(counted.uncounted)} as hospitals that counted nothing, want"
            f" {_listed(uncounted)} by their manifests"
        )
    missing = [name for name in want if not tested.get(name)]
    openable = len(want) >= FEWEST_COUNTED and not missing
    if openable != (counted.groups is not None):
        raise EvidenceRejected(
            f"round {record.round}: got {'no totals' if openable else 'totals'} by subgroup of {_listed(want)}, of whom"
            f" {_listed(missing)} did not take part, or counted nothing"
        )
    broke = f"; counts that break their bounds: {_listed(counted.broke)}" if counted.broke else ""
    if counted.groups is None:
        return f"no totals: {_listed(missing) if missing else 'too few hospitals'} missing{broke}"
    together = sum(tested[name] for name in want)
    layout = Layout(record.classes, counted.scored, (1,))
    for column, groups in groupby(counted.groups, key=lambda group: group.column):
        _check_column(f"round {record.round}: {column}", list(groups), layout, counted.floor, together)
    told = sum(group.counts is not None for group in counted.groups)
    return f"{told} of {len(counted.groups)} groups told, of {together} test records of {len(want)} hospitals{broke}"


def counted_hospitals(evidence: HistoryEvidence) -> str:
    """Totals are those of the hospitals that the rounds before name."""
    record = evidence.record
    counted = record.subgroups
    if counted is None:
        return "none counted"
    want = _members(evidence, counted)
    if counted.hospitals != want:
        raise EvidenceRejected(
            f"round {record.round}: subgroups are summed over {_listed(counted.hospitals)}, want {_listed(want)}:"
            " totals of another set would show single hospitals' counts"
        )
    return _listed(want)


def _members(evidence: HistoryEvidence, counted: RecordSubgroups) -> tuple[HospitalName, ...]:
    """Over whom totals are to be opened from this round on."""
    record = evidence.record
    before = evidence.record_before.subgroups if evidence.record_before else None
    if before is not None and before.hospitals:
        return tuple(name for name in before.hospitals if name not in counted.broke)
    inputs = [member.name for member in record.hospitals if member.name in record.inputs]
    held = tuple(name for name in inputs if name not in counted.broke and _tested(evidence, name))
    return held if len(held) >= record.min_accepted else ()


def _check_column(where: str, groups: Sequence[RecordGroup], layout: Layout, floor: int, tested: int) -> None:
    """Raise EvidenceRejected unless each group of a column is above the floor or empty, and they add up.

    That the floor holds without each hospital is for the nodes alone to see.
    """
    given = [group for group in groups if group.counts is not None]
    for group in given:
        words = np.array(group.counts, dtype=np.int64)
        if layout.at_odds(words, int(layout.sizes(words)[1].sum())):
            raise EvidenceRejected(f"{where}: {group.name}: got counts that do not add up")
        patients, records = layout.sizes(words)
        if records.any() and patients.min() < floor:
            raise EvidenceRejected(f"{where}: {group.name}: got fewer patients of a class than {floor}")
    together = sum(int(layout.sizes(np.array(group.counts, dtype=np.int64))[1].sum()) for group in given)
    if together > tested or (len(given) == len(groups) and together != tested):
        raise EvidenceRejected(f"{where}: got counts of {together} test records, want those of {tested}")
    if len(given) == len(groups) - 1 and together:
        raise EvidenceRejected(f"{where}: got all groups but one, which the others give away")


def _tested(evidence: RoundEvidence, name: HospitalName) -> int:
    """Of how many test records a hospital's counts are, by its manifest."""
    tested = evidence.manifests[name].body.get("tested")
    if type(tested) is not int:
        raise EvidenceRejected(f"round {evidence.round}: {name} signed no number of test records")
    return tested


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "nobody"
