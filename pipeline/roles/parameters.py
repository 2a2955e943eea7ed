"""The numbers of the rule that hold in one round."""

from __future__ import annotations

from pipeline.mpc.engines.base import RuleParameters
from pipeline.study import Study


def rule_parameters(study: Study, finished: int, budget: int | None) -> RuleParameters:
    """The study's thresholds after `finished` rounds that ended in a model, under the budget that the last one set."""
    early = finished < study.rule.early_rounds
    return RuleParameters(
        samples=study.samples_shared,
        input_range=study.source.input_range,
        below_global_percent=study.rule.below_global_early_percent if early else study.rule.below_global_percent,
        below_peers_percent=study.rule.below_peers_percent,
        budget=budget,
    )
