"""The glossary defines each word once, where one looks for it, and names classes that there are."""

from __future__ import annotations

import ast
import re

from pipeline.site.settings import PROJECT

_PAGE = (PROJECT / "docs" / "glossary.md").read_text()


def _terms(text: str) -> list[str]:
    return [
        term.strip("*")
        for line in re.findall(r"^(\*\*.+)\n: ", text, re.MULTILINE)
        for term in re.findall(r"\*\*[^*]+\*\*", line)
    ]


def _letters(term: str) -> str:
    return re.sub(r"\W", "", term).lower()


def test_every_word_is_defined_once() -> None:
    terms = [_letters(term) for term in _terms(_PAGE)]
    assert len(terms) > 80
    assert sorted(terms) == sorted(set(terms))


def test_each_part_is_in_the_order_of_letters() -> None:
    for part in _PAGE.split("\n## ")[1:]:
        firsts = [_letters(_terms(entry)[0]) for entry in re.findall(r"^\*\*.+\n: ", part, re.MULTILINE)]
        assert firsts == sorted(firsts), part.partition("\n")[0]


def test_every_name_in_the_code_is_a_class_there() -> None:
    (part,) = (part for part in _PAGE.split("\n## ") if part.startswith("Names in the code"))
    classes = {
        node.name
        for file in (PROJECT / "pipeline").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ClassDef)
    }
    assert {term.strip("`") for term in _terms(part)} <= classes
