"""Predict with a study's current global model, on a hospital's own machine, once the ledger has vouched for the very bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.audit.dossier import Dossier, gather
from pipeline.datasets import Questions
from pipeline.domain import HospitalName, RoundId, Sha256
from pipeline.errors import EvidenceRejected, FileRejected, Refused
from pipeline.ingest.explain import cell_failures
from pipeline.models import Vector
from pipeline.roles.desk import Desk
from pipeline.roles.lineage import global_model
from pipeline.settings import Settings
from pipeline.study import Study
from pipeline.train.network import probabilities

WARNING = "This is no medical device: a research model, not approved for any clinical use. Do not decide about a patient by it."


@dataclass(frozen=True)
class Card:
    """What one has to know about a model before one reads its answers; all of it public and checked."""

    study: str
    title: str
    dataset: str
    source: str
    classes: tuple[str, ...]
    model: Sha256
    round: RoundId
    """The round that made it, on the ledger."""
    rounds: int
    """Rounds of its study that ended in a model, up to this one."""
    accuracy: float | None
    """Over the test records of the hospitals that confirmed it."""
    hospitals: Mapping[HospitalName, tuple[int, int] | None]
    """Correct answers and tested records of each, as it signed them; None where it did not."""
    transaction: str | None
    development: bool
    """Whether the ledger is a development chain, which its one operator can rewrite."""
    warning: str = WARNING

    def to_json(self) -> dict[str, Any]:
        """As `wardround predict --json` prints it."""
        counts = {name: None if found is None else {"correct": found[0], "tested": found[1]} for name, found in self.hospitals.items()}
        return vars(self) | {"classes": list(self.classes), "hospitals": counts}


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
    card: Card

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
        return cls(desk.study, global_model(desk, digest), _card(desk.study, dossier, digest, len(finished)))

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


def _card(study: Study, dossier: Dossier, digest: Sha256, rounds: int) -> Card:
    return Card(
        study=study.name,
        title=study.title,
        dataset=study.source.title,
        source=study.source.source,
        classes=study.source.classes,
        model=digest,
        round=dossier.round,
        rounds=rounds,
        accuracy=dossier.accuracy,
        hospitals={row.name: None if row.correct is None or row.tested is None else (row.correct, row.tested) for row in dossier.hospitals},
        transaction=dossier.tx,
        development=dossier.development,
    )
