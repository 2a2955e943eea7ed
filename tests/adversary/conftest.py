"""A ledger for every attacker, and an installation for attacks on whole rounds.

No test of an attack runs without its record.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.adversary import record
from tests.support.fixtures import actors, checked_once, shared_chain, site, study

__all__ = ["actors", "checked_once", "shared_chain", "site", "study"]

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            record(item)
