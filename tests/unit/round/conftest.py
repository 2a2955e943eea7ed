"""One consortium in memory for all tests of rounds; each test plays a study of its own on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.fixtures import cheap_passphrases, checked_once
from tests.support.installed import HOSPITALS
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


@pytest.fixture
def flips_labels(site: MemorySite) -> Iterator[None]:
    """Elm swaps its labels and scales its update to the budget, by its own configuration."""
    own = site.settings.hospital(HOSPITALS[4]) / "hospital.yaml"
    own.write_text("misbehaviour: label_flip_within_budget\n")
    yield
    own.unlink()
