"""The numbers of the rule that hold in one round, and the order in which it takes the hospitals."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.domain import HospitalName, Sha256
from pipeline.errors import EvidenceRejected
from pipeline.mpc import panels
from pipeline.mpc.engines.base import RuleParameters
from pipeline.study.study import Study


def rule_parameters(study: Study, finished: int, budget: int | None) -> RuleParameters:
    """The study's thresholds after `finished` rounds that ended in a model, under the budget that the last one set."""
    rule = study.rule
    early = finished < rule.early_rounds
    return RuleParameters(
        samples=rule.images_per_hospital,
        input_range=study.source.input_range,
        below_global_percent=rule.below_global_early_percent if early else rule.below_global_percent,
        below_peers_percent=rule.below_peers_early_percent if early else rule.below_peers_percent,
        budget=budget,
        weakest_class_below_global_percent=(
            rule.weakest_class_below_global_early_percent if early else rule.weakest_class_below_global_percent
        ),
        weakest_class_below_peers_percent=(
            rule.weakest_class_below_peers_early_percent if early else rule.weakest_class_below_peers_percent
        ),
        names_condition=rule.reveal_condition,
        panel=rule.panel,
    )


def in_order(study: Study, hospitals: Iterable[HospitalName], seed: Sha256 | None) -> tuple[HospitalName, ...]:
    """The round's hospitals as a verification takes them: where the study has panels, as its seed places them.

    Raises EvidenceRejected where such a round has no seed.
    """
    if study.rule.panel is None:
        return tuple(hospitals)
    if seed is None:
        raise EvidenceRejected(
            f"study {study.name}: got a round without a seed, want one that its nodes drew: each model has a panel"
        )
    return panels.in_circle(hospitals, seed)
