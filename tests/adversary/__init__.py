"""Attacks, by who makes them: modules for each attacker, a test for each thing that one tries.

Every test carries its record, from which the threat model's tables are made:

    @attack(by="hospital", to="stop", tries="...", costs="...", seen="...")

`by` is the module's attacker (`test_node.py`, or `test_hospital_keys.py` of one who tries much), `to` what it would do
to others' rounds, `tries` what it is after, `costs` what that takes or loses it, and `seen` what the others see of it,
with whose name. Each is a phrase without a full stop; the test's name says what holds. A test of this folder without a
record does not run. A test that stands elsewhere, beside what it tests, may carry one too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

ATTACKERS = ("stranger", "hospital", "foreign_hospital", "node", "provider", "store_operator")
"""Who attacks, in the table's order; `foreign_hospital` is one of another study."""

AIMS = ("change", "learn", "delay", "stop")
"""What somebody would do: change a result, learn what is not meant for it, delay a round or whoever reads one, stop a
round or a study."""


@dataclass(frozen=True)
class Attack:
    """One attack's record; raises ValueError for an attacker or an aim that is none."""

    by: str
    to: str
    tries: str
    costs: str
    seen: str

    def __post_init__(self) -> None:
        if self.by not in ATTACKERS or self.to not in AIMS:
            raise ValueError(
                f"got an attack by {self.by!r} to {self.to!r}, want one of {', '.join(ATTACKERS)}, to {', '.join(AIMS)}"
            )


def attack(*, by: str, to: str, tries: str, costs: str, seen: str) -> pytest.MarkDecorator:
    """The record of the attack that a test makes."""
    return pytest.mark.attack(Attack(by, to, tries, costs, seen))


def attacker(module: Path) -> str:
    """Whose attacks a module holds, by its name; raises ValueError when it names nobody."""
    for name in ATTACKERS:
        if f"{module.stem}_".startswith(f"test_{name}_"):
            return name
    raise ValueError(f"{module}: want a name that begins with test_ and one of {', '.join(ATTACKERS)}")


def record(item: pytest.Item) -> Attack:
    """The record of one of this folder's tests.

    Raises ValueError when it has none, or one of another module's attacker.
    """
    marker = item.get_closest_marker("attack")
    wanted = attacker(item.path)
    if marker is None or marker.args[0].by != wanted:
        raise ValueError(f"{item.nodeid}: want @attack(by={wanted!r}, ...)")
    found: Attack = marker.args[0]
    return found
