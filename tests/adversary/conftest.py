"""A ledger for every attacker, on a development chain of this session's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.chain.events import StudyId
from tests.adversary import record
from tests.support.chains import Actors, Devchain, devchain
from tests.support.consortia import Site, tables_checked_once

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            record(item)


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devchain]:
    with devchain(tmp_path_factory.mktemp("ledger")) as chain:
        yield chain


@pytest.fixture(scope="session")
def actors(chain: Devchain, tmp_path_factory: pytest.TempPathFactory) -> Actors:
    return Actors(chain.url, tmp_path_factory.mktemp("outbox"))


@pytest.fixture
def study(actors: Actors, request: pytest.FixtureRequest) -> StudyId:
    """A study of this test's own."""
    return actors.new_study(request.node.nodeid)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """MinIO, chain and actors, for attacks on whole rounds."""
    made = Site(tmp_path_factory.mktemp("site") / "home")
    try:
        with tables_checked_once():
            yield made
    finally:
        made.stop()
