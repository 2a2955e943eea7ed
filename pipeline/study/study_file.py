"""A study's file with the words of its fields above them, as every bundled and every proposed study has it.

Comments on lines of their own are made from the fields of `pipeline.study.study`; what stands at the end of a line is
the study's own remark.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping

import yaml
from pydantic import BaseModel

from pipeline.errors import InvalidStudy
from pipeline.host.documents import read_fields
from pipeline.study.fields import group
from pipeline.study.study import Study

_WIDTH = 118

_HEAD = (
    "This file is the whole study. Every hospital and node approves its digest before it takes part:",
    (
        "`wardround study show {name}`, `wardround study approve {name}`. An edit makes another digest, which all"
        " approve anew."
    ),
    "A wrong value is refused before anything starts; the message names the field, the value and what is allowed.",
    (
        "Comments on lines of their own come from pipeline/study/study.py, by `python -m handbook`; a remark goes at a"
        " line's end."
    ),
)


def commented(text: str, name: str) -> str:
    """The file's text in the order of the study's fields, each below its meaning.

    Raises InvalidStudy unless all are a study's.
    """
    content = read_fields(text, name, raising=InvalidStudy)
    if unknown := sorted(content.keys() - Study.model_fields):
        raise InvalidStudy(
            name, unknown[0], content[unknown[0]], f"no such line: the fields are {', '.join(Study.model_fields)}"
        )
    root = yaml.compose(text)
    blocks = _blocks(root, text.splitlines()) if isinstance(root, yaml.MappingNode) else {}
    lines = [
        "# " + " ".join(str(content.get("title", name)).split()),
        "#",
        *("# " + line.format(name=name) for line in _HEAD),
    ]
    for field, info in Study.model_fields.items():
        group_model = group(info)
        meaning = (group_model.__doc__ if group_model else info.description) or ""
        if field in blocks:
            lines += ["", *_comment(meaning), *(_inside(blocks[field], group_model) if group_model else blocks[field])]
        elif info.examples:
            example = yaml.safe_dump({field: info.examples[0]}, sort_keys=False)
            lines += ["", *_comment(meaning), *(f"# {line}" for line in example.splitlines())]
    return "\n".join(lines) + "\n"


def _blocks(root: yaml.MappingNode, lines: list[str]) -> Mapping[str, list[str]]:
    """Top-level field to its lines, without those that are comments alone."""
    within = set(_within_texts(root))
    starts = [(key.value, key.start_mark.line) for key, _ in root.value]
    ends = [line for _, line in starts[1:]] + [len(lines)]
    return {
        key: [
            lines[at]
            for at in range(start, end)
            if at in within or (lines[at].strip() and not lines[at].lstrip().startswith("#"))
        ]
        for (key, start), end in zip(starts, ends, strict=True)
    }


def _within_texts(node: yaml.Node) -> Iterator[int]:
    """Lines on which a text goes on that began on another: a comment's sign is part of it there."""
    if isinstance(node, yaml.ScalarNode):
        yield from range(node.start_mark.line + 1, node.end_mark.line + 1)
    else:
        for child in node.value:
            for part in child if isinstance(child, tuple) else (child,):
                yield from _within_texts(part)


def _inside(block: list[str], model: type[BaseModel]) -> Iterator[str]:
    """The lines of a mapping of fields, each field below its meaning."""
    for line in block:
        field = line.strip().partition(":")[0]
        if line.startswith("  ") and field in model.model_fields:
            yield from _comment(model.model_fields[field].description or "", indent="  ")
        yield line


def _comment(words: str, indent: str = "") -> list[str]:
    start = f"{indent}# "
    return textwrap.wrap(
        " ".join(words.split()), _WIDTH, initial_indent=start, subsequent_indent=start, break_on_hyphens=False
    )
