"""What a node does in each mode of a study: one interface, an implementation a mode, chosen by the study's file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.domain import Condition, HospitalName, Sha256
from pipeline.model_file import Model
from pipeline.mpc.engines.base import Task, VerifyOutput, VerifyTask
from pipeline.mpc.sharing import Vector
from pipeline.round.following import updated
from pipeline.round.input_set import Inputs
from pipeline.round.node_round import NodeRound
from pipeline.round.study_history import StudyHistory
from pipeline.study.study import Study


@dataclass(frozen=True)
class Verified:
    """What a verification revealed, and the seed that it was drawn from where the study draws one."""

    accepted: tuple[HospitalName, ...]
    """In the study's order."""
    budget: int | None
    """Largest squared norm of an update in the next round; None where the round that follows has none either."""
    failed: Mapping[HospitalName, Condition] = field(default_factory=dict)
    """The first condition that each rejected update failed, where the study names it."""
    seed: Sha256 | None = None

    @classmethod
    def of(cls, inputs: Inputs, task: VerifyTask, output: VerifyOutput, seed: Sha256 | None) -> Verified:
        """What an engine says of the updates of an input set."""
        bits = dict(zip(task.hospitals, output.accepted, strict=True))
        accepted = tuple(name for name in inputs.digests if bits[name])
        return cls(accepted, output.budget, output.failures(task.hospitals), seed)


class Evaluation(ABC):
    """How a node evaluates and aggregates in one mode."""

    @abstractmethod
    def verify(self, node: NodeRound, inputs: Inputs, past: StudyHistory) -> Verified:
        """Run this node's party of the verification; raises EngineFailed, RoundAborted or EvidenceRejected."""

    @abstractmethod
    def open(self, node: NodeRound, inputs: Inputs, accepted: Sequence[HospitalName]) -> dict[str, Any]:
        """Run this node's party of the aggregation.

        Returns what the journal keeps of it, with the number of updates in the sum as `count`.
        """

    @abstractmethod
    def total(self, node: NodeRound, opened: Mapping[str, Any]) -> Vector:
        """The opened sum, (parameters,) int64 with 16 fractional bits, or of as many words as were shared."""

    def following(self, node: NodeRound, total: Vector, count: int) -> Model:
        """The model after the round, by the sum of `count` vectors: the mean update added, and the scale kept."""
        return updated(node.ctx.model, total, count)

    @abstractmethod
    def tasks(self, study: Study) -> Sequence[Task]:
        """What rounds with all hospitals, or all but one, have the engine compute.

        Other shapes compile when they come up.
        """
