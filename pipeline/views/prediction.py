"""Predict with a study's global model, on a hospital's own machine, once the ledger has vouched for its bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.datasets import PredictionBatch
from pipeline.domain import HospitalName
from pipeline.errors import EvidenceRejected, FileRejected, Refused
from pipeline.ingest.explain import cell_failures
from pipeline.model_file import Vector
from pipeline.report.round_view import gather
from pipeline.round.worker import Worker
from pipeline.site.settings import Settings
from pipeline.study.study import Study
from pipeline.train.network import probabilities
from pipeline.views import model_card as cards


@dataclass(frozen=True)
class Answer:
    """The model's answer on one record."""

    record: str
    label: str
    shares: Mapping[str, float]
    """Each class's share of the softmax: the model's own confidence, not a probability of illness."""


@dataclass(frozen=True)
class Predictor:
    """A checked model, to be asked as often as one likes."""

    study: Study
    parameters: Vector
    card: cards.ModelCard
    home: Path
    """The hospital's folder, where it keeps a study's backbone."""

    @classmethod
    def open(cls, study: str, name: HospitalName, settings: Settings | None = None) -> Predictor:
        """The current model as a hospital gets it.

        Raises Refused before the first one, EvidenceRejected when the ledger disowns it.
        """
        settings = settings or Settings.load()
        worker = Worker.visit(study, settings.hospital(name), settings)
        finished = [state for state in worker.ledger.rounds(worker.study_id) if state.finalised is not None]
        if not finished or finished[-1].finalised is None:
            raise Refused(f"study {study}: no round has ended in a model yet; run one, then predict")
        last = finished[-1]
        digest = finished[-1].finalised.new_model
        if not worker.ledger.verify_model(last.round, digest):
            raise EvidenceRejected(
                f"round {last.round}: the ledger does not vouch for model {digest[:16]}; do not use it"
            )
        view = gather(last, worker.ledger, worker.board.store)
        if view.measured_scale:
            raise Refused(
                f"study {study}: got a round that measured the scale of the inputs and trained nothing; run another,"
                " then predict"
            )
        model = worker.model(digest)
        scaled = worker.study.at(model)
        card = cards.card(worker.study, view, digest, len(finished), model.scale)
        return cls(scaled, model.parameters, card, worker.identity.home)

    def predict(self, questions: PredictionBatch) -> tuple[Answer, ...]:
        """The answers to a batch.

        Raises FileRejected with each row that the data contract refuses and why, never with a value.
        """
        dataset = self.study.source
        if wrong := cell_failures(questions.frame, dataset):
            raise FileRejected(" ".join(wrong.values()))
        shares = probabilities(self.parameters, self.study.network, dataset.keeping(self.home).encode(questions.values))
        return tuple(
            Answer(
                str(record), dataset.classes[int(row.argmax())], dict(zip(dataset.classes, row.tolist(), strict=True))
            )
            for record, row in zip(questions.ids, shares, strict=True)
        )
