"""The table of modes at a node."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.round.evaluation import Evaluation
from pipeline.round.evaluation_full import FullEvaluation
from pipeline.round.evaluation_large import LargeEvaluation
from pipeline.study.study import Study

EVALUATIONS: Mapping[str, Evaluation] = {"full": FullEvaluation(), "large": LargeEvaluation()}
"""By the name in a study's file."""


def evaluation(study: Study) -> Evaluation:
    """How a node evaluates in the study's mode."""
    return EVALUATIONS[study.mode]
