"""The full mode: the whole rule under encryption on the hospitals' secret samples.

And a trimmed mean of what was accepted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.domain import HospitalName
from pipeline.mpc.engines.base import AggregateTask, Components, Task, VerifyTask
from pipeline.mpc.sharing import Vector
from pipeline.round import seed
from pipeline.round.evaluation import Evaluation, Verified
from pipeline.round.input_set import Inputs
from pipeline.round.node_round import NodeRound
from pipeline.round.parameters import in_order, rule_parameters
from pipeline.round.payload import before_counts
from pipeline.round.study_history import StudyHistory
from pipeline.study.study import Study


class FullEvaluation(Evaluation):
    """Size, direction and peers under encryption."""

    def verify(self, node: NodeRound, inputs: Inputs, past: StudyHistory) -> Verified:
        """Run this node's party on updates and samples, each model before its panel where the study has them drawn."""
        study = node.ctx.study
        drawn = seed.draw(node) if study.draws_seed else None
        task = VerifyTask(
            hospitals=in_order(study, inputs.digests, drawn),
            network=study.network,
            rule=rule_parameters(study, past.finished, past.budget),
            previous_model=node.ctx.model.parameters,
        )
        judged = inputs.first(before_counts(study))
        output = node.engine.verify(study.protocol, task, judged, node.party("verify"))
        return Verified.of(inputs, task, output, drawn)

    def open(self, node: NodeRound, inputs: Inputs, accepted: Sequence[HospitalName]) -> dict[str, Any]:
        """Run this node's party of the trimmed mean."""
        study = node.worker.study
        size = node.worker.study.network.size
        every = inputs.first(size)
        updates: Components = {name: every[name] for name in accepted}
        output = node.engine.aggregate(
            study.protocol, AggregateTask(tuple(accepted), study.network.size), updates, node.party("aggregate")
        )
        return {"total": output.total.tolist(), "count": output.count}

    def total(self, node: NodeRound, opened: Mapping[str, Any]) -> Vector:
        """As it was opened."""
        return np.array(opened["total"], dtype=np.int64)

    def tasks(self, study: Study) -> Sequence[Task]:
        """First round, later rounds, and the aggregations of all hospitals or all but one."""
        first = VerifyTask(
            study.hospitals,
            study.network,
            rule_parameters(study, 0, None),
            np.zeros(study.network.size, dtype=np.int64),
        )
        later = replace(first, rule=replace(first.rule, budget=0))
        sizes = sorted(
            size for size in {len(study.hospitals), len(study.hospitals) - 1} if size >= study.accepted_floor
        )
        return [first, later, *(AggregateTask(study.hospitals[:size], study.network.size) for size in sizes)]
