"""What a hospital trains in a round: its update, from the model and budget of then, on its own records."""

from __future__ import annotations

from pipeline.datasets import pool, records
from pipeline.domain import HospitalName, RoundId
from pipeline.model_file import Vector
from pipeline.round.study_history import StudyHistory
from pipeline.round.worker import Worker
from pipeline.train import misbehaviour, stage


def update(worker: Worker, name: HospitalName, past: StudyHistory, model: Vector, round_id: RoundId) -> Vector:
    """The update that the hospital would share, trained without its validation pool; raises UpdateRejected."""
    samples = records.read(worker.identity.home, worker.study.source).train
    rows, _ = pool.split(samples, worker.identity.sharing_secret)
    return stage.run(
        worker.study,
        model,
        samples[rows],
        round_id=round_id,
        finished=past.finished,
        hospital=name,
        budget=past.budget,
        verdicts=past.verdicts(name),
        behaviour=misbehaviour.configured(worker.identity.home),
    )
