"""The attacks that were tried.

Who tried what for which aim, from the records that tests carry (`tests/adversary/__init__.py`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from handbook.markdown import table
from tests.adversary import AIMS, ATTACKERS, Attack

TITLES = {
    "stranger": "A stranger",
    "hospital": "A hospital of the study",
    "foreign_hospital": "A hospital of another study",
    "node": "A node",
    "provider": "The service provider",
    "store_operator": "The store's operator",
}
"""What the pages call each attacker."""

_LETTERS = {
    "stranger": "S",
    "hospital": "H",
    "foreign_hospital": "F",
    "node": "N",
    "provider": "P",
    "store_operator": "O",
}
"""What begins the number of each attacker's records."""

_AGAINST = {
    "others' queues and logs in Airflow, and the execution API": ("integration/sites",),
    "the database and Airflow's own pages": ("integration/airflow", "e2e"),
    "the console, its login and its forms": ("integration/console",),
    "the store: others' prefixes, retention, the guard": ("integration/store",),
    "the parties of the encrypted computation": ("integration/mpc",),
    "the ledger, and others' rounds and statements": ("adversary", "unit"),
}
"""What a hospital tries its keys, token and network against, by where the tests stand."""

_BLOCK = re.compile(r"(?<=<!-- attacks: made by `python -m handbook` -->\n).*?(?=<!-- end of attacks -->)", re.DOTALL)


@dataclass(frozen=True)
class Tried:
    """An attack, with the test that makes it."""

    attack: Attack
    test: str
    module: Path

    @property
    def holds(self) -> str:
        """What the test shows: its name is a sentence."""
        return self.test.removeprefix("test_").replace("_", " ")


def filled(page: str, tests: Path) -> str:
    """A page with its tables of attacks made anew; raises ValueError for a page that has no place for them."""
    made, count = _BLOCK.subn(lambda _: f"\n{sections(tests)}\n", page)
    if count != 1:
        raise ValueError(
            f"got {count} places for the attacks, want one, between two comments that name `python -m handbook`"
        )
    return made


def sections(tests: Path) -> str:
    """Markdown of all attacks below a folder of tests: which have which aim, and a table for each attacker."""
    tried = numbered(tests)
    return "\n".join([_overview(tried), _rogue(tried, tests), *(_section(attacker, tried) for attacker in ATTACKERS)])


def numbered(tests: Path) -> dict[str, Tried]:
    """Every attack that tests below a folder record, by its number.

    In the order of attacker, aim and where they stand, those of tests/adversary first.
    """
    modules = sorted(tests.rglob("test_*.py"), key=lambda path: (path.parent.name != "adversary", path))
    all_records = [record for module in modules for record in records(module)]
    return {
        f"{_LETTERS[attacker]}{number}": record
        for attacker in ATTACKERS
        for number, record in enumerate(
            sorted(_by(all_records, attacker), key=lambda record: AIMS.index(record.attack.to)), 1
        )
    }


def records(module: Path) -> list[Tried]:
    """The records of a module's tests, in its order, read without running it.

    Raises ValueError for one that is no text.
    """
    text = module.read_text()
    if "@attack(" not in text:
        return []
    tree = ast.parse(text)
    texts = dict(_texts(tree))
    return [
        Tried(
            Attack(**{word.arg: _text(word.value, texts, module) for word in call.keywords if word.arg}),
            test.name,
            module,
        )
        for test in tree.body
        if isinstance(test, ast.FunctionDef)
        for call in test.decorator_list
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "attack"
    ]


def _by(tried: Sequence[Tried], attacker: str) -> list[Tried]:
    return [record for record in tried if record.attack.by == attacker]


def _texts(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """A module's named texts."""
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(text))):
                yield name, text


def _text(value: ast.expr, texts: dict[str, str], module: Path) -> str:
    match value:
        case ast.Constant(value=str(text)):
            return text
        case ast.Name(id=name) if name in texts:
            return texts[name]
    raise ValueError(
        f"{module.name}, line {value.lineno}: got {ast.unparse(value)}, want a text, or the name of one in that module"
    )


def _overview(tried: dict[str, Tried]) -> str:
    rows = [(TITLES[attacker], *(_range(tried, attacker, aim) for aim in AIMS)) for attacker in ATTACKERS]
    return f"{len(tried)} attacks:\n\n{table(('by', *(f'to {aim}' for aim in AIMS)), rows)}"


def _rogue(tried: dict[str, Tried], tests: Path) -> str:
    """What a rogue hospital of this or another study tried, by what it tried it against."""
    rows = []
    for against, folders in _AGAINST.items():
        numbers = [
            number
            for number, record in tried.items()
            if record.attack.by in ("hospital", "foreign_hospital")
            and any(record.module.is_relative_to(tests / folder) for folder in folders)
        ]
        rows.append((against, str(len(numbers)), ", ".join(numbers)))
    count = sum(int(row[1]) for row in rows)
    heads = ("a rogue hospital, by its own keys, token and network, against", "tried", "numbers")
    return f"{count} of them are a hospital's:\n\n{table(heads, rows)}"


def _range(tried: dict[str, Tried], attacker: str, aim: str) -> str:
    """Numbers of an attacker's attacks for one aim, which follow one another; raises ValueError where there is none."""
    numbers = [number for number, record in tried.items() if (record.attack.by, record.attack.to) == (attacker, aim)]
    if not numbers:
        raise ValueError(
            f"got no test of an attack by {attacker} to {aim}, want one for each word of the threat model's table"
        )
    return numbers[0] if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def _section(attacker: str, tried: dict[str, Tried]) -> str:
    heads = ("", "to", "tries", "at the cost of", "what the others see", "what holds (`test_...`)")
    rows = [
        (number, record.attack.to, record.attack.tries, record.attack.costs, record.attack.seen, record.holds)
        for number, record in tried.items()
        if record.attack.by == attacker
    ]
    return f"### {TITLES[attacker]}\n\n{table(heads, rows)}"
