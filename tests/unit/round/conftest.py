"""One consortium in memory for all tests of rounds; each test plays a study of its own on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.fixtures import cheap_passphrases, checked_once
from tests.support.memory.site import MemorySite

__all__ = ["cheap_passphrases", "checked_once"]


@pytest.fixture(scope="session")
def _made(tmp_path_factory: pytest.TempPathFactory) -> MemorySite:
    return MemorySite(tmp_path_factory.mktemp("memory") / "home")


@pytest.fixture(scope="module")
def site(_made: MemorySite) -> Iterator[MemorySite]:
    """The store, chain, engine and actors; tests of other modules in this process reach none of them."""
    with _made.reached():
        yield _made
