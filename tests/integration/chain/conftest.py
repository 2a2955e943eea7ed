"""A development chain for every test, or one of a test's own, with a consortium's keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.host import ports
from tests.support.chains import Devchain
from tests.support.fixtures import actors, shared_chain, study

__all__ = ["actors", "shared_chain", "study"]


@pytest.fixture
def fresh_chain(tmp_path: Path) -> Iterator[Devchain]:
    """A chain of this test's own, to be killed at will."""
    chain = Devchain(tmp_path / "chain", ports.choose())
    chain.start()
    yield chain
    chain.kill_supervisor()
