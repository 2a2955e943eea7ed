"""What one has to know about a model before one reads its answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.domain import HospitalName, RoundId, Sha256
from pipeline.measures.estimates import Measures
from pipeline.model_file import Scale
from pipeline.report.round_view import RoundView
from pipeline.report.subgroups import SubgroupsView
from pipeline.study.study import Study

WARNING = (
    "This is no medical device: a research model, not approved for any clinical use. Do not decide about a patient"
    " by it."
)


@dataclass(frozen=True)
class ModelCard:
    """What one has to know about a model before one reads its answers; all of it public and checked."""

    study: str
    title: str
    dataset: str
    source: str
    classes: tuple[str, ...]
    scale: Mapping[str, tuple[float, float]]
    """Mean and deviation of each input that the study measured, as the model holds them."""
    model: Sha256
    round: RoundId
    """The round that made it, on the ledger."""
    rounds: int
    """Rounds of its study that ended in a model, up to this one."""
    accuracy: float | None
    """Over the test records of the hospitals that confirmed it."""
    hospitals: Mapping[HospitalName, tuple[int, int] | None]
    """Correct answers and tested records of each, as it signed them; None where it did not."""
    measures: Measures | None
    """From the confusion matrices of the hospitals that told theirs."""
    subgroups: SubgroupsView | None
    """By groups of patients, of the model that its round started from; None where the study counts none."""
    conclusion: str | None
    """Why its study was concluded with it; None of a model that is not its study's last."""
    transaction: str | None
    development: bool
    """Whether the ledger is a development chain, which its one operator can rewrite."""
    warning: str = WARNING

    def to_json(self) -> dict[str, Any]:
        """As `wardround predict --json` prints it."""
        counts = {
            name: None if tally is None else {"correct": tally[0], "tested": tally[1]}
            for name, tally in self.hospitals.items()
        }
        of_classes = self.measures.to_json() if self.measures else None
        return (
            vars(self)
            | {"classes": list(self.classes), "hospitals": counts, "measures": of_classes}
            | {"subgroups": self.subgroups.to_json() if self.subgroups else None}
        )


def card(study: Study, view: RoundView, digest: Sha256, rounds: int, scale: Scale | None = None) -> ModelCard:
    """The card of a study's model that `view`'s round ended with, the last of so many rounds."""
    names = [one.name for one in study.source.measured]
    # A hospital says its classes as it likes.
    ours = view.measures and tuple(row.name for row in view.measures.classes) == study.source.classes
    return ModelCard(
        study=study.name,
        title=study.title,
        dataset=study.source.title,
        source=study.source.source,
        classes=study.source.classes,
        scale=dict(zip(names, zip(scale.means, scale.deviations, strict=True), strict=True)) if scale else {},
        model=digest,
        round=view.round,
        rounds=rounds,
        accuracy=view.accuracy,
        hospitals={
            row.name: None if row.correct is None or row.tested is None else (row.correct, row.tested)
            for row in view.hospitals
        },
        measures=view.measures if ours else None,
        subgroups=view.subgroups,
        conclusion=view.conclusion,
        transaction=view.tx,
        development=view.development,
    )
