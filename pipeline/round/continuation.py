"""A study's first model: drawn from its seed, or that with which a round of another study ended.

Its file says which, so that owners approve it; the ledger holds it from the study's registration on. Every worker
compares the two, and a provider that registered anything else finds no node that prepares a round.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.chain.ledger import Ledger, StudyState, study_id
from pipeline.datasets.features import Features
from pipeline.domain import RoundId, Sha256
from pipeline.errors import InvalidStudy, Refused
from pipeline.evidence.canonical import sha256
from pipeline.model_file import Model, model_bytes
from pipeline.study.study import Study
from pipeline.train.initial import initial_model


def predecessor(study: Study, folder: Path) -> Study | None:
    """The study whose model this one continues, by its file in the same folder; None for a study that continues none.

    Raises InvalidStudy when its file is not there, or when its model has other layers, shapes or classes, or
    stands behind another backbone.
    """
    if study.continues is None:
        return None
    before = Study.load(folder / f"{study.continues.study}.yaml")
    file = str(folder / f"{study.name}.yaml")
    if study.network != before.network:
        raise InvalidStudy(file, "model", _layers(study), f"the layers and shapes of {before.name}: {_layers(before)}")
    if study.source.classes != before.source.classes:
        raise InvalidStudy(
            file, "dataset", ", ".join(study.source.classes), f"the classes of {before.name}, in their order"
        )
    if _public_part(study) != _public_part(before):
        raise InvalidStudy(
            file,
            "backbone",
            _backbone(study),
            f"that of {before.name}, with the same constants: its model knows no other features: {_backbone(before)}",
        )
    if study.source.measured != before.source.measured:
        raise InvalidStudy(
            file,
            "table" if study.table else "images",
            f"{_measured(study)} to be measured",
            f"the same as in {before.name}, whose model has their scale: {_measured(before)}",
        )
    return before


def require_scale(study: Study, trained: Model) -> None:
    """Raise Refused where the study leaves inputs to be measured and a model was trained without their scale."""
    if study.source.measured and trained.scale is None:
        raise Refused(
            f"study {study.name}: got a model that was trained before the scale of its inputs was measured; give in the"
            f" file what it was trained with, constants or `scale: {'range' if study.table else 'levels'}`, or register"
            " the study under another name"
        )


def continued_model(study: str, round_id: RoundId, ledger: Ledger) -> Sha256:
    """The model with which a round of the study ended.

    Raises EvidenceRejected when the ledger has no such round, Refused when it is another study's or has no model.
    """
    state = ledger.round(round_id)
    if state.study != study_id(study):
        raise Refused(f"round {round_id}: got a round of another study than {study}, want one of its own to continue")
    if state.finalised is None:
        raise Refused(f"round {round_id}: the ledger says {state.status}, want finalised; no model came of it")
    return state.finalised.new_model


def require_agreed(study: Study, ledger: Ledger, folder: Path) -> None:
    """Raise Refused unless the ledger has the study continue what its file says: that very round, or none."""
    on_ledger = ledger.parent_round(study_id(study.name))
    approved = RoundId(study.continues.round) if study.continues else None
    if on_ledger != approved:
        raise Refused(
            f"study {study.name}: the ledger has it continue {_round(on_ledger)}, its file {_round(approved)}; the"
            " provider registers the file's under another name"
        )
    if study.continues and approved is not None:
        continued_model(study.continues.study, approved, ledger)
        predecessor(study, folder)


def require_first_model(study: Study, state: StudyState) -> None:
    """Raise Refused when a study without rounds, which continues none, stands at another model than its seed draws."""
    if study.continues is None and not state.current_round:
        drawn = sha256(model_bytes(initial_model(study)))
        if state.current_model != drawn:
            raise Refused(
                f"study {study.name}: the ledger has it start from model {state.current_model[:16]}, but its seed draws"
                f" {drawn[:16]}; the provider registers that one under another name"
            )


def _public_part(study: Study) -> tuple[object, ...] | None:
    """All that decides a feature of a picture; None without a backbone."""
    source = study.source
    if not isinstance(source, Features):
        return None
    public = source.backbone
    return public.sha256, public.output, public.mean, public.deviation, source.pictures.constants


def _backbone(study: Study) -> str:
    if (part := _public_part(study)) is None:
        return "no backbone"
    digest, output, mean, deviation, constants = part
    return f"{digest!s:.16}, output {output}, mean {mean}, deviation {deviation}, pictures {constants or 'by levels'}"


def _measured(study: Study) -> str:
    inputs = [f"{one.name} in [{one.lowest:g}, {one.highest:g}]" for one in study.source.measured]
    return ", ".join(inputs) or "no input"


def _layers(study: Study) -> str:
    layers = [{name: dict(arguments) for name, arguments in item.items()} for item in study.model]
    return f"{layers} on samples of {study.network.input_shape}"


def _round(number: RoundId | None) -> str:
    return "no other study" if number is None else f"round {number}"
