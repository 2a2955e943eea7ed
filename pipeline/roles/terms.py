"""What a study's terms say in words, and what differs between two versions of them, field by field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipeline.study import UNUSED_IN_LARGE, Study

NOTHING = "–"


class Field(NamedTuple):
    """What a field of a study means, and in what its value counts."""

    label: str
    unit: str = ""


_PERCENT = "percentage points"

FIELDS: Mapping[str, Field] = {
    "study.name": Field("Name"),
    "study.title": Field("Title"),
    "study.dataset": Field("Data set"),
    "study.hospitals": Field("Hospitals"),
    "study.nodes": Field("Nodes"),
    "study.engine": Field("Engine of the encrypted computation"),
    "study.protocol": Field("Protocol of the encrypted computation"),
    "study.model": Field("Layers of the model"),
    "study.mode": Field("Mode"),
    "study.training.steps": Field("Training steps per round", "steps"),
    "study.training.batch_size": Field("Records per training step", "records"),
    "study.training.learning_rate": Field("Learning rate"),
    "study.training.decay": Field("Factor on the learning rate per round"),
    "study.training.momentum": Field("Momentum"),
    "study.training.weight_decay": Field("Weight decay"),
    "study.rule.images_per_hospital": Field("Secret validation samples that each hospital shares", "samples per round"),
    "study.rule.early_rounds": Field("Rounds under the early, looser thresholds", "rounds"),
    "study.rule.below_global_early_percent": Field("A model may fall below the current one, early", _PERCENT),
    "study.rule.below_global_percent": Field("A model may fall below the current one, later", _PERCENT),
    "study.rule.below_peers_early_percent": Field("A model may fall below the other hospitals' models, early", _PERCENT),
    "study.rule.below_peers_percent": Field("A model may fall below the other hospitals' models, later", _PERCENT),
    "study.rule.weakest_class_below_global_early_percent": Field("On its weakest class: below the current one, early", _PERCENT),
    "study.rule.weakest_class_below_global_percent": Field("On its weakest class: below the current one, later", _PERCENT),
    "study.rule.weakest_class_below_peers_early_percent": Field("On its weakest class: below the others' models, early", _PERCENT),
    "study.rule.weakest_class_below_peers_percent": Field("On its weakest class: below the others' models, later", _PERCENT),
    "study.rule.strikes": Field("Rejections that lead to quarantine", "rejections"),
    "study.rule.strike_window": Field("Rounds among which they count", "rounds"),
    "study.rule.reveal_condition": Field("A rejection names which of size, direction and peers failed", "true or false"),
    "study.data_contract.min_per_class": Field("Fewest records of each class at a hospital", "records"),
    "study.partition.by": Field("A demonstration's data are dealt out by"),
    "study.partition.alpha": Field("Skew of a demonstration's data (small is skewed)"),
    "study.partition.per_class": Field("Fewest records of a class dealt to a hospital", "records"),
    "study.deadlines.commit_seconds": Field("Hospitals hand in within", "seconds of block time from the opening"),
    "study.deadlines.result_seconds": Field("The result stands within", "seconds of block time from the opening"),
    "study.min_accepted": Field("Fewest accepted hospitals with which a round ends in a model", "hospitals"),
    "study.schedule": Field("Rounds start by themselves", "as a cron expression"),
    "study.target_accuracy": Field("Accuracy shown as the goal; decides nothing"),
    "study.seed": Field("Public seed of the first model, the batches and the dealing"),
    "ledger.chain_id": Field("Chain id of the ledger"),
    "ledger.contract": Field("Contract of the ledger"),
    "ledger.development": Field("The ledger is a development chain"),
    "code": Field("Code that runs (its digest)"),
}
"""Path in the terms to its words; hospitals' and nodes' own fields are named by `label`."""

_RULE = "study.rule."


@dataclass(frozen=True)
class Change:
    """One field that differs; None where a version has no such field."""

    path: str
    label: str
    before: str | None
    after: str | None


class Line(NamedTuple):
    """A field with its value, as a person reads them."""

    label: str
    value: str
    unit: str


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """Every field that differs, in the order of the study's file, then members, ledger and code."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    paths = dict.fromkeys((*new, *old))
    return tuple(Change(path, label(path), old.get(path), new.get(path)) for path in paths if old.get(path) != new.get(path))


def rule(terms: Mapping[str, Any]) -> tuple[Line, ...]:
    """The thresholds of the rule against poisoning."""
    unused = UNUSED_IN_LARGE if terms["study"]["mode"] == "large" else ()
    return _lines(terms, (path for path in FIELDS if path.startswith(_RULE) and path.removeprefix(_RULE) not in unused))


def training(terms: Mapping[str, Any]) -> tuple[Line, ...]:
    """How each hospital trains."""
    return _lines(terms, (path for path in FIELDS if path.startswith("study.training.")))


def deadlines(study: Study, terms: Mapping[str, Any]) -> tuple[Line, ...]:
    """When a round ends, and with how many hospitals."""
    floor = Line(FIELDS["study.min_accepted"].label, str(study.accepted_floor), "hospitals")
    return (
        *_lines(terms, ("study.deadlines.commit_seconds", "study.deadlines.result_seconds")),
        floor,
        *_lines(terms, ("study.schedule",)),
    )


def layers(model: Any) -> tuple[str, ...]:
    """A model's layers under torch's names."""
    found = []
    for item in model:
        for name, arguments in item.items():
            found.append(f"{name}({', '.join(f'{key}={value}' for key, value in arguments.items())})")
    return tuple(found)


def label(path: str) -> str:
    """What the field of this path is called."""
    if path in FIELDS:
        return FIELDS[path].label
    kind, _, rest = path.partition(".")
    name, _, own = rest.partition(".")
    if kind == "hospitals":
        return f"Signing address of {name}"
    if kind == "nodes":
        return f"{'Signing address' if own == 'address' else 'TLS certificate'} of {name}"
    return path.removeprefix("study.")


def _lines(terms: Mapping[str, Any], paths: Any) -> tuple[Line, ...]:
    values = dict(_leaves(terms))
    return tuple(Line(FIELDS[path].label, values[path], FIELDS[path].unit) for path in paths if path in values)


def _leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, item in value.items():
        path = f"{prefix}{key}"
        if isinstance(item, Mapping):
            yield from _leaves(item, f"{path}.")
        elif item is not None:
            yield path, _text(path, item)


def _text(path: str, value: Any) -> str:
    if path == "study.model":
        return ", ".join(layers(value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)
