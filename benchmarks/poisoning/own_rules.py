"""Wardround's own rule and what is tried beside it: the rule of large models, and either with something left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from benchmarks.poisoning import exact
from pipeline.domain import NORM_CAP, HospitalName, Sha256
from pipeline.model_file import Vector
from pipeline.mpc import panels, reference, reference_projected, rule
from pipeline.mpc.engines.base import AggregateTask, ProjectedTask, VerifyTask
from pipeline.mpc.projections import project

Judged = reference.Verification | reference_projected.ProjectedVerification
Mean = Callable[[AggregateTask, Mapping[HospitalName, Vector]], tuple[Vector, int]]
"""The sum of what is averaged of the accepted updates, and how many that are."""


def ignore_answers(task: VerifyTask, models: Vector, inputs: Vector, labels: Vector) -> Vector:
    """In place of the encrypted inference: every model answers alike, so the peers object to none."""
    return np.zeros((len(models), inputs.shape[0], labels.shape[2]), dtype=np.int64)


def median(task: AggregateTask, updates: Mapping[HospitalName, Vector]) -> tuple[Vector, int]:
    """In place of the middle of at least 3: one or two values of each coordinate, hence single hospitals'."""
    ordered = np.sort(np.stack([updates[name] for name in task.hospitals]), axis=0)
    middle = ordered[(len(ordered) - 1) // 2 : len(ordered) // 2 + 1]
    return middle.sum(axis=0), len(middle)


@dataclass(frozen=True)
class OwnRule:
    """The rule of the full mode, as the product's reference has it."""

    counting: reference.Counting = exact.counts
    mean: Mean = reference.aggregate
    sure: ClassVar[float] = 1.0
    """The share of the largest norm that an attacker fills, so that hardly an update is rejected for an estimate."""

    def task(self, task: VerifyTask, seed: Sha256) -> VerifyTask:
        """A round's verification as this rule has it; no seed is drawn for it."""
        return task

    def judged(self, task: VerifyTask, payloads: Mapping[HospitalName, Vector]) -> Judged:
        """Whom the round accepts, and the next budget."""
        return reference.explain(task, payloads, self.counting)

    def largest(self, budget: int) -> float:
        """The largest squared norm that a later round accepts."""
        return min(budget, NORM_CAP)


@dataclass(frozen=True)
class PanelRule(OwnRule):
    """The rule of the full mode where each model is tried on a drawn panel."""

    panel: int = 7

    def task(self, task: VerifyTask, seed: Sha256) -> VerifyTask:
        """The same with the hospitals as this seed places them."""
        numbers = replace(task.rule, panel=self.panel)
        return replace(task, hospitals=panels.in_circle(task.hospitals, seed), rule=numbers)

    def judged(self, task: VerifyTask, payloads: Mapping[HospitalName, Vector]) -> Judged:
        """Whom the round accepts, in the order of the payloads, and the next budget."""
        found = reference.explain(task, payloads, self.counting)
        order = [task.hospitals.index(name) for name in payloads]
        told: dict[str, Any] = {
            name: tuple(value[place] for place in order)
            for name, value in vars(found).items()
            if isinstance(value, tuple)
        }
        return replace(found, **told)


@dataclass(frozen=True)
class LargeRule(OwnRule):
    """The rule of `mode: large`: size and direction by projections, peers as ever, and a plain mean."""

    mean: Mean = reference_projected.aggregate
    sure: ClassVar[float] = 0.9

    def task(self, task: VerifyTask, seed: Sha256) -> ProjectedTask:
        """The same on projections from this seed."""
        return ProjectedTask(task.hospitals, task.network, task.rule, task.previous_model, seed)

    def judged(self, task: VerifyTask, payloads: Mapping[HospitalName, Vector]) -> Judged:
        """Whom the round accepts, and the next budget."""
        if not isinstance(task, ProjectedTask):
            raise TypeError(f"got a {type(task).__name__}, want one that names the seed of its projections")
        rows = project(list(reference.updates_of(task, payloads)), task.network.size, task.seed)
        by_name = dict(zip(task.hospitals, rows, strict=True))
        return reference_projected.explain(task, by_name, payloads, self.counting)

    def largest(self, budget: int) -> float:
        """More than the budget: what lies above it by no more than an estimate may err is accepted."""
        return rule.projected_limit(budget) * rule.PROJECTED_RIGHT / rule.PROJECTED_LEFT


WARDROUND = "wardround"
WITHOUT_INFERENCE = "wardround_without_inference"
WITH_MEDIAN = "wardround_with_median"
LARGE = "wardround_large"
LARGE_WITHOUT_INFERENCE = "wardround_large_without_inference"
WITH_PANELS = "wardround_with_panels"

OWN_RULES: Mapping[str, OwnRule] = {
    WARDROUND: OwnRule(),
    WITHOUT_INFERENCE: OwnRule(counting=ignore_answers),
    WITH_MEDIAN: OwnRule(mean=median),
    WITH_PANELS: PanelRule(),
    LARGE: LargeRule(),
    LARGE_WITHOUT_INFERENCE: LargeRule(counting=ignore_answers),
}
"""By the name in a row: the rule less what the peers find, or less the privacy floor of its mean, in either mode."""

APART = (WITH_MEDIAN, WITH_PANELS, LARGE, LARGE_WITHOUT_INFERENCE)
"""Those that have tables by themselves, hence no place in what shows all defences."""
