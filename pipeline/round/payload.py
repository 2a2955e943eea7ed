"""The one vector that a hospital shares in a round: its update and the samples on which all updates are checked.

Behind them come its counts by subgroup, where the study has any. In the round that measures its inputs' scale, what it
says of them and nothing else.
"""

from __future__ import annotations

import numpy as np

from pipeline.datasets import pool, records
from pipeline.domain import HospitalName, RoundId, Sha256
from pipeline.model_file import Vector
from pipeline.mpc.engines.base import Payload
from pipeline.site.identity import Identity
from pipeline.study.study import Study
from pipeline.train import misbehaviour


def length(study: Study) -> int:
    """Words of that vector, by the study as it is in the round."""
    measured = study.source.measured
    if measured:
        return 2 * len(measured)
    return before_counts(study) + (study.counted.length if study.counted else 0)


def before_counts(study: Study) -> int:
    """Words of update and samples."""
    return Payload(study.network, study.rule.images_per_hospital).length


def payload(study: Study, study_digest: Sha256, hospital: Identity, round_id: RoundId, update: Vector) -> Vector:
    """All but the counts.

    Update, validation inputs and one-hot labels, laid out as `pipeline.mpc.engines.base.Payload` says.
    """
    if study.source.measured:
        return update
    classes = len(study.source.classes)
    secret = hospital.sharing_secret
    samples = records.read(hospital.home, study.source).train
    _, kept = pool.split(samples, secret)
    drawn = pool.draw(
        samples[kept],
        study.rule.images_per_hospital,
        secret,
        study_digest,
        round_id,
        hospital=HospitalName(hospital.name),
    )
    labelled = misbehaviour.configured(hospital.home).labelled(drawn, classes)
    one_hot = np.eye(classes, dtype=np.int64)[labelled.labels]
    return np.concatenate([update, labelled.inputs.astype(np.int64).ravel(), one_hot.ravel()])
