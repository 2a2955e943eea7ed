"""The same rounds without verification: plain federated averaging, for comparison only.

It never makes a study's model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.datasets import Samples
from pipeline.domain import MODEL_CAP, HospitalName, RoundId
from pipeline.model_file import Vector
from pipeline.study.study import Study
from pipeline.train.initial import initial_model
from pipeline.train.misbehaviour import HONEST, Behaviour
from pipeline.train.network import accuracy
from pipeline.train.stage import everybodys


@dataclass(frozen=True)
class UndefendedMember:
    """What one hospital brings: the records that it trains on, its test records, its behaviour."""

    training: Samples
    test: Samples
    behaviour: Behaviour = field(default=HONEST)


def undefended(
    study: Study, members: Mapping[HospitalName, UndefendedMember], rounds: Sequence[RoundId]
) -> list[tuple[int, int]]:
    """Correct answers and tested records over all hospitals after each round of plain averaging, everyone accepted."""
    model = initial_model(study)
    results = []
    for finished, round_id in enumerate(rounds):
        updates = everybodys(study, model, members, round_id=round_id, finished=finished, budget=None, verdicts={})
        model = _mean(model, [*updates.values()])
        counts = [accuracy(model, study.network, member.test) for member in members.values()]
        results.append((sum(correct for correct, _ in counts), sum(tested for _, tested in counts)))
    return results


def _mean(model: Vector, updates: Sequence[Vector]) -> Vector:
    mean = np.rint(np.mean(np.array(updates, dtype=np.float64), axis=0)).astype(np.int64)
    return np.asarray(np.clip(model + mean, -MODEL_CAP, MODEL_CAP), dtype=np.int64)
