"""What a hospital counts by subgroup in a round: how the model that the round starts from answers its test records."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.datasets import grouping, records
from pipeline.datasets.patients import groups
from pipeline.measures.confusion import Confusion
from pipeline.measures.scores import Scores
from pipeline.measures.subgroups import Layout
from pipeline.model_file import Vector
from pipeline.mpc import tally
from pipeline.round.worker import RoundContext
from pipeline.train import network


def counts(ctx: RoundContext, layout: Layout) -> tuple[Vector, int]:
    """Its counts, (layout.length,) int64, and of how many test records they are: 0 where it keeps them to itself.

    Of more records than a sum can hold they are the first ones in the file. Raises DataRejected.
    """
    study = ctx.study
    home = ctx.worker.identity.home
    test = records.read(home, study.source).test
    columns = grouping.tested(home, study.source, study.groupings)
    shares = network.probabilities(ctx.model.parameters, study.network, test.inputs)
    tested = min(len(test), tally.most_tested(len(study.hospitals)))
    if not _may_be_told(test.labels[:tested], shares[:tested], layout):
        tested = 0
    patients = groups(test.patients, len(test))
    vector = layout.count(
        test.labels[:tested], shares[:tested], [column[:tested] for column in columns], patients[:tested]
    )
    return vector, tested


def _may_be_told(labels: npt.NDArray[np.int64], shares: npt.NDArray[np.float64], layout: Layout) -> bool:
    """Whether a confirmation would tell as much of these records: all groups, less what others confirmed, are they."""
    matrix = Confusion.count(labels, shares.argmax(axis=1), layout.classes)
    return matrix.may_be_told and (not layout.scored or Scores.count(labels, shares, layout.classes).may_be_told)
