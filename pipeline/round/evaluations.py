"""The table of modes at a node, and the round that comes before any of them where inputs are measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.mpc.engines.base import Task
from pipeline.round import tally
from pipeline.round.evaluation import Evaluation
from pipeline.round.evaluation_full import FullEvaluation
from pipeline.round.evaluation_large import LargeEvaluation
from pipeline.round.evaluation_scale import ScaleEvaluation
from pipeline.study.study import Study

EVALUATIONS: Mapping[str, Evaluation] = {"full": FullEvaluation(), "large": LargeEvaluation()}
"""By the name in a study's file."""

_SCALE = ScaleEvaluation()


def evaluation(study: Study) -> Evaluation:
    """How a node evaluates updates in the study's mode."""
    return EVALUATIONS[study.mode]


def evaluation_in(study: Study) -> Evaluation:
    """How a node evaluates in a round, by the study as it is in it: measures its inputs first, then judges updates."""
    return _SCALE if study.source.measured else evaluation(study)


def tasks(study: Study) -> Sequence[Task]:
    """What rounds of the study have the engine compute."""
    return [
        *(_SCALE.tasks(study) if study.source.measured else ()),
        *evaluation(study).tasks(study),
        *tally.tasks(study),
    ]
