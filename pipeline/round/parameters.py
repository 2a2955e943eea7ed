"""The numbers of the rule that hold in one round."""

from __future__ import annotations

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
    )
