"""Predict with a study's current global model, on a hospital's own machine, once the ledger has vouched for the very bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.audit.dossier import gather
from pipeline.datasets import Questions
from pipeline.domain import HospitalName
from pipeline.errors import EvidenceRejected, FileRejected, Refused
from pipeline.ingest.explain import cell_failures
from pipeline.models import Vector
from pipeline.roles import card as cards
from pipeline.roles.desk import Desk
from pipeline.roles.lineage import global_model
from pipeline.settings import Settings
from pipeline.study import Study
from pipeline.train.network import probabilities


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
    model: Vector
    card: cards.Card

    @classmethod
    def open(cls, study: str, name: HospitalName, settings: Settings | None = None) -> Predictor:
        """The current model as a hospital gets it; raises Refused before the first one, EvidenceRejected when the ledger disowns it."""
        settings = settings or Settings.load()
        desk = Desk.visit(study, settings.hospital(name), settings)
        finished = [state for state in desk.ledger.rounds(desk.study_id) if state.finalised is not None]
        if not finished or finished[-1].finalised is None:
            raise Refused(f"study {study}: no round has ended in a model yet; run one, then predict")
        last, digest = finished[-1], finished[-1].finalised.new_model
        if not desk.ledger.verify_model(last.round, digest):
            raise EvidenceRejected(f"round {last.round}: the ledger does not vouch for model {digest[:16]}; do not use it")
        dossier = gather(last, desk.ledger, desk.board.store)
        return cls(desk.study, global_model(desk, digest), cards.card(desk.study, dossier, digest, len(finished)))

    def predict(self, questions: Questions) -> tuple[Answer, ...]:
        """The answers; raises FileRejected, with each row that the data contract refuses and why, and never with a value."""
        dataset = self.study.source
        if wrong := cell_failures(questions.frame, dataset):
            raise FileRejected(" ".join(wrong.values()))
        shares = probabilities(self.model, self.study.network, dataset.encode(questions.values))
        return tuple(
            Answer(str(record), dataset.classes[int(row.argmax())], dict(zip(dataset.classes, row.tolist(), strict=True)))
            for record, row in zip(questions.ids, shares, strict=True)
        )
