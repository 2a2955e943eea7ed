"""Would a hospital's model pass the rule? Asked on its own machine.

With its own held-out records and what is public; nothing is sent.

Never on the others' secret samples: an answer about those, as often as one likes, would be an oracle on them. What
needs the others' updates is therefore said to be open.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline import model_file
from pipeline.domain import COORDINATE_CAP, NORM_CAP, UPDATE_BITS, HospitalName, RoundId, Sha256
from pipeline.errors import Misconfigured, Refused
from pipeline.mpc import reference, rule
from pipeline.mpc.engines.base import ProjectedTask, RuleParameters, VerifyTask
from pipeline.round import training
from pipeline.round.parameters import rule_parameters
from pipeline.round.payload import payload
from pipeline.round.study_history import lineage
from pipeline.round.worker import Worker
from pipeline.site.settings import Settings
from pipeline.study.study import Study


@dataclass(frozen=True)
class PrecheckFinding:
    """One test of the rule; `passed` is None where it takes the others' updates."""

    test: str
    passed: bool | None
    sentence: str


@dataclass(frozen=True)
class Precheck:
    """What the rule says of one model as far as its hospital alone can know."""

    round: RoundId
    """The round in which it would be handed in, if no other is opened before."""
    findings: tuple[PrecheckFinding, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing that is known speaks against the model."""
        return all(finding.passed is not False for finding in self.findings)


_OPEN = (
    PrecheckFinding(
        "direction",
        None,
        "Whether it pushes against the other hospitals' updates is only known in the round, under encryption.",
    ),
    PrecheckFinding("peers", None, "So is how it compares with the other hospitals' models, on their samples."),
)


_ESTIMATED = PrecheckFinding(
    "size",
    None,
    "In the round the size is checked on random projections, under encryption, so a little more or less passes.",
)

_ALONE = HospitalName("alone")
_NO_SEED = Sha256("0" * 64)
"""Nothing is projected here."""


def check_model(
    study: str, name: HospitalName, model: Path | None = None, settings: Settings | None = None
) -> Precheck:
    """Check a model file (safetensors, as the study's global one), or the model that this hospital would train now."""
    settings = settings or Settings.load()
    worker = Worker.visit(study, settings.hospital(name), settings)
    if name not in worker.study.hospitals:
        raise Misconfigured(f"{name} is no hospital of study {study}, which names {', '.join(worker.study.hospitals)}")
    past = lineage(worker)
    current = worker.model(worker.ledger.study(worker.study_id).current_model)
    read = worker.study.at(current)
    if read.source.measured:
        raise Refused(
            f"study {study}: its next round measures the scale of its inputs and trains nothing; ask again after it"
        )
    round_id = RoundId(max((state.round for state in worker.ledger.rounds()), default=RoundId(0)) + 1)
    if model is None:
        update = training.update(worker, name, past, current, round_id)
    else:
        update = model_file.parse_model(model.read_bytes(), worker.study.network.size) - current.parameters
    parameters = rule_parameters(read, past.finished, past.budget)
    shared = payload(read, worker.digest, worker.identity, round_id, update)
    return Precheck(round_id, findings(read, current.parameters, parameters, shared))


def findings(
    study: Study, current: model_file.Vector, parameters: RuleParameters, shared: model_file.Vector
) -> tuple[PrecheckFinding, ...]:
    """The rule's tests of one update.

    `shared` is what its hospital would share: the update, and then the samples that judge it.
    """
    update = shared[: study.network.size]
    projected = study.evaluation_mode.projects
    ranged = () if projected else (_range(update),)
    if any(finding.passed is False for finding in ranged):
        return (*ranged, *_OPEN)
    values = update.astype(np.float64)
    norm = int(values @ values)  # exact below 2^53, far above every limit; integers could wrap
    size = (_size(norm, parameters.budget), *((_ESTIMATED,) if projected else ()))
    if norm > NORM_CAP:
        return (*ranged, *size, *_OPEN)
    public = ((_ALONE,), study.network, parameters, current)
    task = ProjectedTask(*public, _NO_SEED) if projected else VerifyTask(*public)
    _, counts = reference.tried(task, update[None], {_ALONE: shared})
    return (*ranged, *size, *_accuracy(counts[:, 0], parameters), *_OPEN)


def _range(update: model_file.Vector) -> PrecheckFinding:
    in_range = bool(np.all((update < COORDINATE_CAP) & (update > -COORDINATE_CAP)))
    cap = COORDINATE_CAP >> UPDATE_BITS
    return PrecheckFinding(
        "range", in_range, f"Every weight {'moves' if in_range else 'has to move'} by less than {cap}."
    )


def _size(norm: int, budget: int | None) -> PrecheckFinding:
    scale = 2.0 ** (2 * UPDATE_BITS)
    limit = min(NORM_CAP, NORM_CAP if budget is None else budget)
    measured = f"The squared size of the change is {norm / scale:.4g}"
    if norm == 0:
        return PrecheckFinding(
            "size", False, "The model is the current one: a hospital that changes nothing is rejected."
        )
    if norm > limit:
        return PrecheckFinding(
            "size", False, f"{measured}, and at most {limit / scale:.4g} is allowed: scale it down to that."
        )
    if budget is None:
        return PrecheckFinding(
            "size", None, f"{measured}; the first round has no budget yet, and compares it with the other hospitals'."
        )
    if rule.VANISHING * norm < budget:
        return PrecheckFinding(
            "size",
            None,
            f"{measured}, which may be too small beside the other hospitals': the budget is {limit / scale:.4g}.",
        )
    return PrecheckFinding("size", True, f"{measured}, within the budget of {limit / scale:.4g}.")


def _accuracy(counts: model_file.Vector, parameters: RuleParameters) -> tuple[PrecheckFinding, ...]:
    globally, trained = counts  # by class
    samples = parameters.samples
    of_class = rule.samples_of_class(parameters.samples, len(trained))
    weakest = (int(globally.min()), int(trained.min()))
    below = parameters.weakest_class_below_global_percent
    return (
        PrecheckFinding(
            "accuracy",
            bool(100 * trained.sum() >= 100 * globally.sum() - parameters.below_global_percent * samples),
            f"Of {samples} held-out samples of this hospital it gets {trained.sum()} right, and the current model"
            f" {globally.sum()}; over the middle hospitals it may fall at most {parameters.below_global_percent} points"
            " below.",
        ),
        PrecheckFinding(
            "weakest class",
            100 * weakest[1] >= 100 * weakest[0] - below * of_class,
            f"Of {of_class} samples of its worst class it gets {weakest[1]} right, and the current model {weakest[0]}"
            f" of its own worst; over the middle hospitals it may fall at most {below} points below.",
        ),
    )
