"""A study's network without a consortium: trained on one heap of records, by as many rounds of steps."""

from __future__ import annotations

from pipeline.datasets import Samples
from pipeline.domain import HospitalName, RoundId
from pipeline.model_file import Vector
from pipeline.study.study import Study
from pipeline.train.initial import initial_model
from pipeline.train.misbehaviour import Behaviour
from pipeline.train.stage import run


def trained_alone(study: Study, samples: Samples, rounds: int, who: HospitalName, effort: int = 1) -> Vector:
    """The study's first model after so many rounds of `effort` times its steps on `samples` alone."""
    behaviour = Behaviour("trains alone", effort=effort, keeps_budget=False)
    model = initial_model(study)
    for finished in range(rounds):
        number = RoundId(finished + 1)
        model = model + run(
            study,
            model,
            samples,
            round_id=number,
            finished=finished,
            hospital=who,
            budget=None,
            behaviour=behaviour,
        )
    return model
