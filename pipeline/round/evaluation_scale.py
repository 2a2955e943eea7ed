"""The round that measures the scale of a study's inputs: their range under encryption, and a trimmed mean of the rest.

It trains nothing: the model after it has the parameters of the one before, and the scale beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.domain import HospitalName
from pipeline.model_file import Model
from pipeline.mpc.engines.base import AggregateTask, RangeTask, Task
from pipeline.mpc.sharing import Vector
from pipeline.round.evaluation import Evaluation, Verified
from pipeline.round.following import measured_model
from pipeline.round.input_set import Inputs
from pipeline.round.node_round import NodeRound
from pipeline.round.payload import length
from pipeline.round.study_history import StudyHistory
from pipeline.study.study import Study


class ScaleEvaluation(Evaluation):
    """Whatever lies within the range that the data contract allows is accepted, and its ends are trimmed."""

    def verify(self, node: NodeRound, inputs: Inputs, past: StudyHistory) -> Verified:
        """Run this node's party on what the hospitals say of their inputs; it sets no budget."""
        study = node.ctx.study
        task = RangeTask(tuple(inputs.digests), length(study))
        output = node.engine.check_range(study.protocol, task, inputs.whole, node.party("verify"))
        return Verified(tuple(name for name, bit in zip(task.hospitals, output.within, strict=True) if bit), None)

    def open(self, node: NodeRound, inputs: Inputs, accepted: Sequence[HospitalName]) -> dict[str, Any]:
        """Run this node's party of the trimmed mean."""
        study = node.ctx.study
        task = AggregateTask(tuple(accepted), length(study))
        whole = inputs.whole
        components = {name: whole[name] for name in accepted}
        output = node.engine.aggregate(study.protocol, task, components, node.party("aggregate"))
        return {"total": output.total.tolist(), "count": output.count}

    def total(self, node: NodeRound, opened: Mapping[str, Any]) -> Vector:
        """As it was opened."""
        return np.array(opened["total"], dtype=np.int64)

    def following(self, node: NodeRound, total: Vector, count: int) -> Model:
        """The same parameters, with the means and deviations that the hospitals' sum makes."""
        return measured_model(node.ctx.study, node.ctx.model, total, count)

    def tasks(self, study: Study) -> Sequence[Task]:
        """The check of all hospitals, and the sums of all, or of all but one."""
        size = length(study)
        sums = [
            AggregateTask(study.hospitals[:count], size)
            for count in (len(study.hospitals) - 1, len(study.hospitals))
            if count >= study.accepted_floor
        ]
        return [RangeTask(study.hospitals, size), *sums]
