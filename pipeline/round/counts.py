"""What a hospital counts by subgroup in a round: how the model that the round starts from answers its test records."""

from __future__ import annotations

from pipeline.datasets import grouping, records
from pipeline.datasets.patients import groups
from pipeline.measures.subgroups import Layout
from pipeline.model_file import Vector
from pipeline.mpc import tally
from pipeline.round.worker import RoundContext
from pipeline.train import network


def counts(ctx: RoundContext, layout: Layout) -> tuple[Vector, int]:
    """Its counts, (layout.length,) int64, and of how many test records they are; raises DataRejected."""
    study = ctx.study
    home = ctx.worker.identity.home
    test = records.read(home, study.source).test
    columns = grouping.tested(home, study.source, study.groupings)
    tested = min(len(test), tally.most_tested(len(study.hospitals)))
    shares = network.probabilities(ctx.model.parameters, study.network, test.inputs)
    patients = groups(test.patients, len(test))
    vector = layout.count(
        test.labels[:tested], shares[:tested], [column[:tested] for column in columns], patients[:tested]
    )
    return vector, tested
