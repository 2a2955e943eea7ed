"""The attacks that were tried: a table for each attacker, from the records that the tests of tests/adversary carry."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from handbook.markdown import table
from tests.adversary import ATTACKERS, Attack

TITLES = {
    "stranger": "A stranger",
    "hospital": "A hospital of the study",
    "foreign_hospital": "A hospital of another study",
    "node": "A node",
    "provider": "The service provider",
    "store_operator": "The store's operator",
}
"""What the pages call each attacker."""

_BLOCK = re.compile(r"(?<=<!-- attacks: made by `python -m handbook` -->\n).*?(?=<!-- end of attacks -->)", re.DOTALL)


def filled(page: str, tests: Path) -> str:
    """A page with its tables of attacks made anew; raises ValueError for a page that has no place for them."""
    made, places = _BLOCK.subn(lambda _: f"\n{sections(tests)}\n", page)
    if places != 1:
        raise ValueError(f"got {places} places for the attacks, want one, between two comments that name `python -m handbook`")
    return made


def sections(tests: Path) -> str:
    """Markdown with a table for each attacker's module in a folder of tests."""
    return "\n".join(_section(attacker, records(tests / f"test_{attacker}.py")) for attacker in ATTACKERS)


def records(module: Path) -> list[Attack]:
    """The records of a module's tests, in its order, read without running it; raises ValueError for one that is no text."""
    tree = ast.parse(module.read_text())
    texts = dict(_texts(tree))
    calls = (decorator for each in tree.body if isinstance(each, ast.FunctionDef) for decorator in each.decorator_list)
    return [
        Attack(**{word.arg: _text(word.value, texts, module) for word in call.keywords if word.arg})
        for call in calls
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "attack"
    ]


def _texts(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """A module's named texts."""
    for each in tree.body:
        match each:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(text))):
                yield name, text


def _text(value: ast.expr, texts: dict[str, str], module: Path) -> str:
    match value:
        case ast.Constant(value=str(text)):
            return text
        case ast.Name(id=name) if name in texts:
            return texts[name]
    raise ValueError(f"{module.name}, line {value.lineno}: got {ast.unparse(value)}, want a text, or the name of one in that module")


def _section(attacker: str, attacks: list[Attack]) -> str:
    rows = [(each.tries, each.costs, each.seen) for each in attacks]
    return f"### {TITLES[attacker]}\n\n{table(('tries', 'at the cost of', 'what the others see'), rows)}"
