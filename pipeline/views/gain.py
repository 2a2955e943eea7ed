"""What a hospital gains: a study's current model beside models of its own records alone, on its own test records.

Computed on its own machine, shown there, and sent nowhere: how good a hospital is alone is its own affair.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.datasets import Samples, records
from pipeline.domain import HospitalName, RoundId
from pipeline.errors import Refused
from pipeline.measures.confusion import Confusion
from pipeline.measures.estimates import Measures, measures
from pipeline.measures.scores import Scores
from pipeline.round.study_history import lineage
from pipeline.round.worker import Worker
from pipeline.site.settings import Settings
from pipeline.study.study import Study
from pipeline.train.alone import trained_alone
from pipeline.train.baselines import answers, classical
from pipeline.train.network import probabilities
from pipeline.views.prediction import Predictor

RIVALS: Mapping[str, str] = {
    "network": "the study's network",
    "svm": "SVM",
    "logistic_regression": "logistic regression",
    "decision_tree": "decision tree",
}
"""Names of models, in words."""

TRAINED_ON: Mapping[str, str] = {
    "federated": "everybody's records, federated",
    "own": "own records alone",
    "pooled": "everybody's records in one place",
}
"""Where a model was trained, in words."""

_POOLED = HospitalName("pooled")


@dataclass(frozen=True)
class Rival:
    """One model on the hospital's test records."""

    model: str
    """`network`, the study's own, or the name of a classical one."""
    trained: str
    """`federated`, `own` records, or `pooled` ones."""
    measures: Measures
    only_federated: int
    """Records that the federated model answers right, and this one wrong."""
    only_this: int

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return vars(self) | {"measures": self.measures.to_json()}


@dataclass(frozen=True)
class Gain:
    """The federated model, which comes first, and its rivals."""

    hospital: HospitalName
    round: RoundId
    """The round that ended with the federated model."""
    rivals: tuple[Rival, ...]

    def to_json(self) -> dict[str, Any]:
        """As `wardround model compare --json` prints it."""
        return {"hospital": self.hospital, "round": self.round, "rivals": [rival.to_json() for rival in self.rivals]}


def gain(study: str, name: HospitalName, settings: Settings | None = None, *, pooled: bool = False) -> Gain:
    """Compare the current model with models of one hospital's training records, and with one of everybody's if wanted.

    Raises Refused before the first model, and where not all hospitals' records lie on this machine.
    """
    settings = settings or Settings.load()
    predictor = Predictor.open(study, name, settings)
    worker = Worker.visit(study, settings.hospital(name), settings)
    scaled = predictor.study
    own = records.read(settings.hospital(name), scaled.source)
    rounds = lineage(worker).finished
    bench = _Bench(scaled, own.test, probabilities(predictor.parameters, scaled.network, own.test.inputs))
    rivals = [
        bench.network("federated", bench.federated),
        bench.network("own", bench.shares(trained_alone(scaled, own.train, rounds, name))),
        *(
            bench.rival(kind, "own", answers(model, own.test))
            for kind, model in classical(own.train, scaled.seed).items()
        ),
    ]
    if pooled:
        everything = _everybodys(scaled, settings)
        effort = len(scaled.hospitals)
        model = trained_alone(scaled, everything, rounds, _POOLED, effort=effort)
        rivals.append(bench.network("pooled", bench.shares(model)))
    return Gain(name, predictor.card.round, tuple(rivals))


@dataclass(frozen=True)
class _Bench:
    study: Study
    test: Samples
    federated: npt.NDArray[np.float64]

    def shares(self, model: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        return probabilities(model, self.study.network, self.test.inputs)

    def network(self, trained: str, shares: npt.NDArray[np.float64]) -> Rival:
        scores = Scores.count(self.test.labels, shares, self.study.source.classes)
        return self.rival("network", trained, shares.argmax(axis=1), scores)

    def rival(self, model: str, trained: str, answered: npt.NDArray[np.int64], scores: Scores | None = None) -> Rival:
        matrix = Confusion.count(self.test.labels, answered, self.study.source.classes)
        right = answered == self.test.labels
        before = self.federated.argmax(axis=1) == self.test.labels
        return Rival(
            model, trained, measures(matrix, scores), int((before & ~right).sum()), int((right & ~before).sum())
        )


def _everybodys(study: Study, settings: Settings) -> Samples:
    elsewhere = [name for name in study.hospitals if not settings.hospital(name).exists()]
    if elsewhere:
        raise Refused(
            f"--pooled: got no folder of {', '.join(elsewhere)} on this machine; only a demonstration has everybody's"
            " records, leave the option out"
        )
    parts = [records.read(settings.hospital(name), study.source).train for name in study.hospitals]
    return Samples(np.concatenate([part.inputs for part in parts]), np.concatenate([part.labels for part in parts]))
