"""What a node does with the hospitals' counts by subgroup: whose hold, who is summed, which totals it opens.

Totals are opened over one set of hospitals for as long as the study and what continues it go on: those of another set
would show, by their difference, what a single hospital counted. Only a hospital whose counts break their bounds leaves
the set, by its own doing, and for good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.audit.round_record import RecordGroup, RecordSubgroups
from pipeline.domain import HospitalName
from pipeline.measures.subgroups import FEWEST_COUNTED, Layout, told
from pipeline.mpc import tally
from pipeline.mpc.engines.base import Task
from pipeline.round.input_set import Inputs
from pipeline.round.manifests import checked_manifest
from pipeline.round.node_round import NodeRound
from pipeline.round.payload import before_counts
from pipeline.round.study_history import StudyHistory
from pipeline.study.study import Study


def tested_by(node: NodeRound, inputs: Inputs) -> dict[HospitalName, int]:
    """Of how many test records each hospital's counts are, by its manifest; 0 of one that keeps them to itself."""
    return {name: checked_manifest(node.ctx, name, digest).tested or 0 for name, digest in inputs.digests.items()}


def check(
    node: NodeRound, inputs: Inputs, layout: Layout, tested: Mapping[HospitalName, int]
) -> tuple[HospitalName, ...]:
    """Run this node's party of the check of bounds; the hospitals whose counts break them."""
    study = node.ctx.study
    task = tally.bounds_task(tuple(inputs.digests), layout)
    vectors = tally.bounds(inputs.after(before_counts(study)), layout, tested)
    output = node.engine.check_range(study.protocol, task, vectors, node.party("counts"))
    return tuple(name for name, within in zip(task.hospitals, output.within, strict=True) if not within)


def members(
    study: Study, past: StudyHistory, tested: Mapping[HospitalName, int], broke: Sequence[HospitalName]
) -> tuple[HospitalName, ...]:
    """Over whom totals are opened from now on: the first who are enough, without those who broke their bounds.

    Who kept its counts to itself in the first round is never among them: when it counts later, the difference is its.
    """
    if past.counted is not None:
        return tuple(name for name in past.counted if name not in broke)
    held = tuple(name for name in study.hospitals if tested.get(name) and name not in broke)
    return held if len(held) >= study.accepted_floor else ()


def open_totals(
    node: NodeRound,
    inputs: Inputs,
    layout: Layout,
    counted: Sequence[HospitalName],
    tested: Mapping[HospitalName, int],
) -> dict[str, Any] | None:
    """Run this node's party of the floor, and of the sum of what lies above it; None where somebody's counts are none.

    Returns which groups are told and the sum, zero elsewhere, as the journal keeps them.
    """
    study = node.ctx.study
    if study.subgroups is None or len(counted) < FEWEST_COUNTED or not all(tested.get(name) for name in counted):
        return None
    counts = inputs.after(before_counts(study))
    total = tally.summed(counts, counted)
    floors = tally.floors(counts, counted, layout, study.subgroups.floor)
    output = node.engine.check_range(study.protocol, tally.floor_task(counted, layout), floors, node.party("floor"))
    groups = sum(layout.groups)
    shown = told(layout, output.within[:groups], output.within[groups:])
    task = tally.opening_task(layout)
    opened = node.engine.aggregate(study.protocol, task, tally.opening(total, layout, shown), node.party("totals"))
    return {"shown": shown, "words": opened.total.tolist()}


def record(
    study: Study,
    counted: Sequence[HospitalName],
    tested: Mapping[HospitalName, int],
    broke: Sequence[HospitalName],
    opened: Mapping[str, Any] | None,
) -> RecordSubgroups | None:
    """What stands in the round's record; None where the study counts nothing in this round."""
    layout = study.counted
    if layout is None or study.subgroups is None:
        return None
    names = [(one.column, name) for one in study.groupings for name in one.names]
    groups = None
    if opened is not None:
        rows = np.array(opened["words"], dtype=np.int64).reshape(-1, layout.words).tolist()
        groups = tuple(
            RecordGroup(column=column, name=name, counts=tuple(row) if shown else None)
            for (column, name), row, shown in zip(names, rows, opened["shown"], strict=True)
        )
    return RecordSubgroups(
        floor=study.subgroups.floor,
        scored=layout.scored,
        hospitals=tuple(counted),
        uncounted=tuple(name for name in study.hospitals if tested.get(name) == 0),
        broke=tuple(broke),
        groups=groups,
    )


def tasks(study: Study) -> Sequence[Task]:
    """What rounds with all hospitals, or all but one, have the engine compute."""
    layout = study.layout
    if layout is None:
        return []
    sizes = [size for size in (len(study.hospitals) - 1, len(study.hospitals)) if size >= study.accepted_floor]
    return [
        *(tally.bounds_task(study.hospitals[:size], layout) for size in sizes),
        *(tally.floor_task(study.hospitals[:size], layout) for size in sizes),
        tally.opening_task(layout),
    ]
