"""What a study's terms say in words, and what differs between two versions of them, field by field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from annotated_types import Unit
from pydantic import BaseModel

from pipeline.study.fields import Continues, group
from pipeline.study.study import Study

NOTHING = "–"


class Field(NamedTuple):
    """What a field of the terms is called, in what its value counts, and what it means."""

    label: str
    unit: str = ""
    meaning: str = ""


def _fields(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, Field]]:
    """Path to words, of a model and the models in it, in the order of the study's file."""
    for name, field in model.model_fields.items():
        if group_model := group(field):
            yield from _fields(group_model, f"{prefix}{name}.")
        else:
            unit = next((item.unit for item in field.metadata if isinstance(item, Unit)), "")
            yield f"{prefix}{name}", Field(field.title or name, unit, " ".join((field.description or "").split()))


FIELDS: Mapping[str, Field] = {
    **dict(_fields(Study, "study.")),
    **dict(_fields(Continues, "study.continues.")),
    "ledger.chain_id": Field("Chain id of the ledger"),
    "ledger.contract": Field("Contract of the ledger"),
    "ledger.development": Field("The ledger is a development chain"),
    "code.scheme": Field("Scheme by which the code's digests are made"),
}
"""Path in the terms to its words, which a study's fields bring along; hospitals' and nodes' own fields are named by
`label`."""

_RULE = "study.rule."
_CODE = "code.parts."


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


def of_study() -> Mapping[str, Field]:
    """The fields that a study's file may have, as it spells them, with their words."""
    return {path.removeprefix("study."): field for path, field in FIELDS.items() if path.startswith("study.")}


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """Every field that differs, in the order of the study's file, then members, ledger and code."""
    old = dict(_leaves(before))
    new = dict(_leaves(after))
    paths = dict.fromkeys((*new, *old))
    return tuple(
        Change(path, label(path), old.get(path), new.get(path)) for path in paths if old.get(path) != new.get(path)
    )


def rule(terms: Mapping[str, Any]) -> tuple[Line, ...]:
    """The thresholds of the rule against poisoning."""
    return _lines(terms, (path for path in FIELDS if path.startswith(_RULE)))


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
    return tuple(f"{name}({', '.join(_arguments(arguments))})" for item in model for name, arguments in item.items())


def label(path: str) -> str:
    """What the field of this path is called."""
    if path in FIELDS:
        return FIELDS[path].label
    if path.startswith(_CODE):
        return f"Code: {path.removeprefix(_CODE)}"
    kind, _, rest = path.partition(".")
    name, _, field = rest.partition(".")
    if kind == "hospitals":
        return f"Signing address of {name}"
    if kind == "nodes":
        return f"{'Signing address' if field == 'address' else 'TLS certificate'} of {name}"
    return path.removeprefix("study.")


def _arguments(arguments: Mapping[str, Any]) -> Iterator[str]:
    for key, value in arguments.items():
        if isinstance(value, int):
            yield f"{key}={value}"
        else:
            yield from layers(value)


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
