"""A development chain for every test, or one of a test's own, with a consortium's keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import ports
from pipeline.chain.events import StudyId
from tests.support.chains import Actors, Devchain, devchain


@pytest.fixture
def fresh_chain(tmp_path: Path) -> Iterator[Devchain]:
    """A chain of this test's own, to be killed at will."""
    chain = Devchain(tmp_path / "chain", ports.choose())
    chain.start()
    yield chain
    chain.kill_supervisor()


@pytest.fixture(scope="session")
def shared_chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devchain]:
    with devchain(tmp_path_factory.mktemp("ledger")) as chain:
        yield chain


@pytest.fixture(scope="session")
def actors(shared_chain: Devchain, tmp_path_factory: pytest.TempPathFactory) -> Actors:
    return Actors(shared_chain.url, tmp_path_factory.mktemp("outbox"))


@pytest.fixture
def study(actors: Actors, request: pytest.FixtureRequest) -> StudyId:
    """A study of this test's own."""
    return actors.new_study(request.node.nodeid)
