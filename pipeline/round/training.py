"""What a hospital trains in a round: its update, from the model and budget of then, on its own records."""

from __future__ import annotations

from pipeline.datasets import pool, records
from pipeline.domain import HospitalName, RoundId
from pipeline.model_file import Model, Vector
from pipeline.round.study_history import StudyHistory
from pipeline.round.worker import Worker
from pipeline.train import misbehaviour, stage
from pipeline.train.statistics import statistics


def update(worker: Worker, name: HospitalName, past: StudyHistory, model: Model, round_id: RoundId) -> Vector:
    """The update that the hospital would share, trained without its validation pool; raises UpdateRejected.

    Where the study's inputs are still to be measured, what it says of them.
    """
    study = worker.study.at(model)
    if study.source.measured:
        return statistics(study, worker.identity.home)
    samples = records.read(worker.identity.home, study.source).train
    rows, _ = pool.split(samples, worker.identity.sharing_secret)
    return stage.run(
        study,
        model.parameters,
        samples[rows],
        round_id=round_id,
        finished=past.finished,
        hospital=name,
        budget=past.budget,
        verdicts=past.verdicts(name),
        behaviour=misbehaviour.configured(worker.identity.home),
    )
