"""The encrypted programs of the studies, compiled before a round needs them; cached per user and shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pipeline.domain import Sha256
from pipeline.errors import EngineFailed
from pipeline.mpc.engines import engine
from pipeline.mpc.engines.base import AggregateTask, ProjectedTask, Task, VerifyTask
from pipeline.round.parameters import rule_parameters
from pipeline.site.settings import Settings
from pipeline.study.study import Study


def compile_programs(settings: Settings, studies: Mapping[str, Study]) -> Mapping[str, str]:
    """Compile what a round with every hospital takes; study to reason where this machine cannot."""
    failed = {}
    for study in studies.values():
        runner = engine(study.engine, settings)
        try:
            if problems := runner.problems():
                raise EngineFailed(problems[0])
            for task in _tasks(study):
                runner.prepare(study.protocol, task)
        except EngineFailed as error:
            failed[study.name] = str(error)
    return failed


def _tasks(study: Study) -> list[Task]:
    """First round, later rounds, and the aggregations of all hospitals or all but one; other shapes compile when they come up."""
    if study.mode == "large":
        return [ProjectedTask(study.hospitals, budget, Sha256("0" * 64), study.rule.reveal_condition) for budget in (None, 0)]
    first = VerifyTask(study.hospitals, study.network, rule_parameters(study, 0, None), np.zeros(study.network.size, dtype=np.int64))
    later = replace(first, rule=replace(first.rule, budget=0))
    sizes = {len(study.hospitals), len(study.hospitals) - 1}
    return [first, later, *(AggregateTask(study.hospitals[:size], study.network) for size in sorted(sizes) if size >= study.accepted_floor)]
