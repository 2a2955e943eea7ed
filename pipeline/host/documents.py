"""What people and other members write: one safe reader of YAML, and in one sentence what is wrong with a field."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from pipeline.errors import InvalidFile, Misconfigured, shown

LARGEST_YAML = 1 << 18
"""Bytes; the members' file of 200 hospitals and a study of 1,000 columns are below half of it."""

PLAIN = "plain YAML: no anchors, aliases or tags, every field once"
"""What is taken, in a message."""

_DEEPEST = 20
"""Levels of nesting: a parser of more takes the square of their time, and at last its stack."""

_Form = TypeVar("_Form", bound=BaseModel)


class _Loader(yaml.CSafeLoader):
    """Takes no field that hides another one of its name."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """The fields of a node; raises MarkedYAMLError when two have one name."""
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        if len(mapping) != len(node.value):
            raise yaml.MarkedYAMLError(problem="a field twice", problem_mark=node.start_mark)
        return mapping


def _check_form(data: str | bytes) -> None:
    """Refuse what makes more of a document than stands there.

    Aliases multiply a few lines, tags make other objects of them.
    """
    depth = 0
    event: Any
    for event in yaml.parse(data, yaml.CSafeLoader):
        wrong = None
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            wrong = "an anchor or alias"
        elif getattr(event, "tag", None) is not None:
            wrong = "a tag"
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            wrong = f"more than {_DEEPEST} levels"
        if wrong:
            raise yaml.MarkedYAMLError(problem=wrong, problem_mark=event.start_mark)


def read_yaml(data: str | bytes, name: str, *, raising: type[InvalidFile] = InvalidFile) -> Any:
    """The value of a YAML document called `name`; raises `raising` when it is none, or more than plain."""
    if len(data) > LARGEST_YAML:
        raise raising(name, "file", f"{len(data)} bytes", f"at most {LARGEST_YAML}")
    try:
        _check_form(data)
        return _Loader(data).get_single_data()
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f" in line {error.problem_mark.line + 1}"
        raise raising(name, "file", f"{error.problem}{line}", PLAIN) from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise raising(name, "file", str(error).partition("\n")[0], PLAIN) from error


def read_fields(data: str | bytes, name: str, *, raising: type[InvalidFile] = InvalidFile) -> dict[str, Any]:
    """Like `read_yaml`, and raises `raising` on any value but a mapping of fields; an empty document has none."""
    value = read_yaml(data, name, raising=raising)
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(field, str) for field in value):
        raise raising(name, "file", type(value).__name__, "a mapping of fields")
    return value


def load(path: Path, form: type[_Form], what: str) -> _Form:
    """The file at `path` as a `form`; raises Misconfigured, which says `what` was wanted, or InvalidFile."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise Misconfigured(f"{path}: got no file, want {what}; run `wardround up`") from error
    try:
        return form.model_validate(read_fields(data, str(path)))
    except ValidationError as error:
        raise InvalidFile(str(path), *first_problem(error)) from error


class Problem(NamedTuple):
    """A field, what it holds and what it should; str() is the end of a message."""

    field: str
    got: object
    wanted: str

    def __str__(self) -> str:
        return f"{self.field}: got {shown(self.got)}, want {self.wanted}"


def first_problem(error: ValidationError, whole: str = "file") -> Problem:
    """The first thing that a form refused; `whole` names the document where no field is to blame."""
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(_plain(part) for part in first["loc"]) or whole
    if first["type"] == "missing":
        return Problem(where, "nothing", "a value: it is required")
    return Problem(where, first["input"], first["msg"].removeprefix("Input should be ").removeprefix("Value error, "))


def _plain(part: object) -> str:
    text = str(part)
    return text if text.isprintable() and len(text) <= 60 else shown(part)
