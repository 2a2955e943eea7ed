"""The encrypted programs of the studies, compiled before a round needs them; cached per user and shape."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.errors import EngineFailed
from pipeline.mpc.engines import engine
from pipeline.round.evaluations import tasks
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
            for task in tasks(study):
                runner.prepare(study.protocol, task)
        except EngineFailed as error:
            failed[study.name] = str(error)
    return failed
