"""The study reference: every field of a study's file, from the model that checks it.

And what the tables of plug-ins offer.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from handbook.markdown import table
from pipeline.datasets import DATASETS
from pipeline.datasets.schema import BackboneSchema, ColumnSchema, ImagesSchema, TableSchema, WindowSchema
from pipeline.layers import LAYERS
from pipeline.study import study_diff
from pipeline.study.fields import PROTOCOLS, Continues, GroupColumn, Subgroups, group
from pipeline.study.study import Study

_INTRODUCTION = """# Study

A study is one YAML file in `studies/`; the file's name is the study's name.
Every hospital and node approves it by its digest.
The digest also covers the members' keys and certificates, the ledger and the code that decides.
An edit of any of them needs approval again.
A wrong value is refused before anything starts: the message names the field, the value and what is allowed.
The file is plain YAML: no anchors, aliases or tags, and every field once. Every number has a bound.

The tables are made from the fields of `pipeline/study/fields.py` and `study.py`.
The comments of the bundled files and the console have their words there too.
"""

_OWN_DATA = """Hospitals with data of their own write `table` or `images` in place of `dataset`.

- A table is `records.csv` or `records.parquet`, with the columns `record_id`, `label` and those of the study.
- Pictures are a folder of PNG, JPEG, TIFF, BMP, WebP or DICOM files with `labels.csv`.
  Its columns are `file` and `label`.
- A column `patient` may be in either, and says whose record each is. All of a patient's records are then
  trained on, or shared as validation samples, or tested on. Without it nobody can know, and the check says so.
  For pictures without it, the `PatientID` of DICOM files says so, if all of them have one.
- A column `split` (`train` or `test`) may be in either. Without it, a fourth of the patients, else of the records,
  is kept for testing, by a hash of the name, and somebody of each class.
"""

_WORDS = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "array": "list",
    "object": "mapping",
}


def page() -> str:
    """Markdown with a table for each group of fields and each table of plug-ins."""
    sections = [_INTRODUCTION, "## The file\n\n" + _table(Study, "study.")]
    for name, field in Study.model_fields.items():
        if group_model := group(field):
            sections.append(f"## `{name}`\n\n{group_model.__doc__}\n\n{_table(group_model, f'study.{name}.')}")
    sections += [
        f"## `continues`\n\n{Continues.__doc__}\n\n{_table(Continues, 'study.continues.')}",
        f"## Data of the hospitals' own\n\n{_OWN_DATA}",
        *(
            f"### `{name}`\n\n{model.__doc__}\n\n{_table(model)}"
            for name, model in (("table", TableSchema), ("images", ImagesSchema), ("backbone", BackboneSchema))
        ),
        f"### A column of `table`\n\n{ColumnSchema.__doc__}\n\n{_table(ColumnSchema)}",
        f"### `window` of `images`\n\n{WindowSchema.__doc__}\n\n{_table(WindowSchema)}",
        f"## `subgroups`\n\n{Subgroups.__doc__}\n\n{_table(Subgroups)}",
        f"### A column of `subgroups`\n\n{GroupColumn.__doc__}\n\n{_table(GroupColumn)}",
        "## Layers\n\n" + _layers(),
        "## Data sets\n\n" + _datasets(),
        "## Engines and protocols\n\n" + _protocols(),
    ]
    return "\n".join(sections)


def _table(model: type[BaseModel], prefix: str = "") -> str:
    """The fields that are no groups of their own."""
    schema = model.model_json_schema()
    rows = []
    for name, field in model.model_fields.items():
        if group(field):
            continue
        unit = study_diff.FIELDS[prefix + name].unit if prefix else ""
        meaning = " ".join((field.description or "").split())
        form = schema["properties"][name]
        rows.append((f"`{name}`", meaning, _takes(form), unit, _without(field, form)))
    return table(("field", "meaning", "takes", "counted in", "without it"), rows)


def _takes(schema: Mapping[str, Any]) -> str:
    """What a value may be, in words."""
    form, *_ = [option for option in schema.get("anyOf", [schema]) if option.get("type") != "null"]
    if "enum" in form:
        return " or ".join(f"`{value}`" for value in form["enum"])
    if "$ref" in form:
        return "mapping, see below"
    words = _WORDS[form["type"]]
    kind = form["type"]
    if kind == "array":
        return words + _length(form.get("minItems"), form.get("maxItems"))
    if kind == "string":
        return words + (_length(form["minLength"], form["maxLength"]) + " letters" if "minLength" in form else "")
    bounds = (("from", "minimum"), ("above", "exclusiveMinimum"), ("to", "maximum"), ("below", "exclusiveMaximum"))
    return words + "".join(f" {word} {_number(form[bound])}" for word, bound in bounds if bound in form)


def _number(bound: float) -> str:
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"


def _length(least: int | None, most: int | None) -> str:
    if most is None:
        return f" of at least {least}" if least else ""
    if least is None:
        return f" of at most {most:,}"
    return f" of {least}" if least == most else f" of {least} to {most:,}"


def _without(field: FieldInfo, schema: Mapping[str, Any]) -> str:
    """What holds where the line is missing; a default that depends on other lines is said in words beside its field."""
    if field.is_required():
        return str(schema.get("default", "required"))
    if field.default in (None, ()):
        return str(schema.get("default") or "–")
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"


def _layers() -> str:
    rows = [(f"`{name}`", _sentence(layer), ", ".join(_arguments(layer)) or "none") for name, layer in LAYERS.items()]
    return "Layers have an encrypted form of their own; a new one is one file in `pipeline/layers/`.\n\n" + table(
        ("layer", "what it is", "arguments"), rows
    )


def _arguments(layer: type[Any]) -> Iterator[str]:
    for argument, parameter in zip(fields(layer), inspect.signature(layer).parameters.values(), strict=True):
        yield f"`{argument.name}`" + (
            "" if parameter.default is parameter.empty else f" (without it {parameter.default})"
        )


def _datasets() -> str:
    rows = [
        (
            f"`{name}`",
            data.title,
            " x ".join(map(str, data.shape)),
            ", ".join(data.classes),
            ", ".join(data.sites) or "–",
        )
        for name, data in sorted(DATASETS.items())
    ]
    return table(("data set", "title", "a sample's shape", "classes", "sites"), rows)


def _protocols() -> str:
    engines = get_args(Study.model_fields["engine"].annotation)
    rows = [
        (f"`{engine}`", f"`{protocol}`", str(nodes))
        for engine in engines
        for protocol, nodes in PROTOCOLS[engine].items()
    ]
    return table(("engine", "protocol", "nodes"), rows)


def _sentence(documented: object) -> str:
    return (inspect.getdoc(documented) or "").partition("\n")[0]
