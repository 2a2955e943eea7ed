"""The stage `train`: from the global model and a hospital's training records to its update."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from pipeline.datasets import Samples
from pipeline.domain import HospitalName, RoundId
from pipeline.errors import UpdateRejected
from pipeline.model_file import Vector
from pipeline.study.study import Study
from pipeline.train.loop import train
from pipeline.train.misbehaviour import HONEST, Behaviour
from pipeline.train.update import backoff, encode, fit


class Trainer(Protocol):
    """A hospital whose records lie on this machine, where a whole round is played."""

    @property
    def training(self) -> Samples:
        """The records that it trains on."""

    @property
    def behaviour(self) -> Behaviour:
        """How it departs from the protocol, if it does."""


def run(
    study: Study,
    model: Vector,
    samples: Samples,
    *,
    round_id: RoundId,
    finished: int,
    hospital: HospitalName,
    budget: int | None,
    verdicts: Iterable[bool] = (),
    behaviour: Behaviour = HONEST,
) -> Vector:
    """A hospital's update, (P,) int64 with 16 fractional bits, squared norm within `budget`; raises UpdateRejected.

    `samples` are the hospital's training records without its validation pool, `finished` the rounds that ended in a
    model before this one, `verdicts` whether the hospital's own past updates were accepted, oldest first.
    """
    if len(model) != study.network.size:
        raise UpdateRejected(
            f"model: got {len(model)} parameters, want {study.network.size} of {study.name}; fetch the current model"
        )
    trained = train(
        study,
        model,
        behaviour.labelled(samples, len(study.source.classes)),
        round_id=round_id,
        finished=finished,
        hospital=hospital,
        effort=behaviour.effort,
    )
    update = encode(model, trained, study.network)
    if behaviour.keeps_budget:
        update = fit(update, budget, backoff(verdicts if behaviour.backs_off else ()))
    return behaviour.tampers(update)


def everybodys(
    study: Study,
    model: Vector,
    hospitals: Mapping[HospitalName, Trainer],
    *,
    round_id: RoundId,
    finished: int,
    budget: int | None,
    verdicts: Mapping[HospitalName, Sequence[bool]],
) -> dict[HospitalName, Vector]:
    """The updates of all `hospitals` of one round, where their records lie on one machine; raises UpdateRejected."""
    return {
        name: run(
            study,
            model,
            hospital.training,
            round_id=round_id,
            finished=finished,
            hospital=name,
            budget=budget,
            verdicts=verdicts.get(name, ()),
            behaviour=hospital.behaviour,
        )
        for name, hospital in hospitals.items()
    }
