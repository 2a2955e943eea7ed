"""Attacks, by who makes them: a module for each attacker, a test for each thing that one tries.

Every test carries its record, from which the threat model's table is made:

    @attack(by="hospital", tries="...", costs="...", seen="...")

`by` is the module's attacker (`test_hospital.py`), `tries` what it is after, `costs` what that takes or loses it, and
`seen` what the others see of it, with whose name. Each is a phrase without a full stop. A test without a record does
not run.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

ATTACKERS = ("stranger", "hospital", "foreign_hospital", "node", "provider", "store_operator")
"""Who attacks, in the table's order; `foreign_hospital` is one of another study."""


@dataclass(frozen=True)
class Attack:
    """One attack's record."""

    by: str
    tries: str
    costs: str
    seen: str


def attack(*, by: str, tries: str, costs: str, seen: str) -> pytest.MarkDecorator:
    """The record of the attack that a test makes."""
    return pytest.mark.attack(Attack(by, tries, costs, seen))


def record(item: pytest.Item) -> Attack:
    """A test's record; raises ValueError when it has none, or one of another module's attacker."""
    marker, attacker = item.get_closest_marker("attack"), item.path.stem.removeprefix("test_")
    if marker is None or marker.args[0].by != attacker or attacker not in ATTACKERS:
        raise ValueError(f"{item.nodeid}: want @attack(by={attacker!r}, ...), with one of {', '.join(ATTACKERS)}")
    found: Attack = marker.args[0]
    return found
