"""Fixtures of more than one folder: a conftest that takes one imports it by name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.backup import sealed_stream
from pipeline.ledger_types.events import StudyId
from tests.support.chains import Actors, Devchain, devchain
from tests.support.consortia import Site, logged, tables_checked_once


@pytest.fixture(scope="session")
def shared_chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devchain]:
    """A development chain of this session's own."""
    with devchain(tmp_path_factory.mktemp("ledger")) as chain:
        yield chain


@pytest.fixture(scope="session")
def actors(shared_chain: Devchain, tmp_path_factory: pytest.TempPathFactory) -> Actors:
    """A ledger on it, with a consortium's keys."""
    return Actors(shared_chain.url, tmp_path_factory.mktemp("outbox"))


@pytest.fixture
def study(actors: Actors, request: pytest.FixtureRequest) -> StudyId:
    """A study of this test's own."""
    return actors.new_study(request.node.nodeid)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The store, chain and actors."""
    home = tmp_path_factory.mktemp("site") / "home"
    made = Site(home)
    try:
        with logged(home / "logs" / "tasks.log"):
            yield made
    finally:
        made.stop()


@pytest.fixture(scope="module", autouse=True)
def checked_once() -> Iterator[None]:
    """Great Expectations is asked once about a table."""
    with tables_checked_once():
        yield


@pytest.fixture
def cheap_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cheapest key that Argon2id makes."""
    for name in ("OPSLIMIT", "MEMLIMIT"):
        least = getattr(sealed_stream.pwhash.argon2id, f"{name}_MIN")
        monkeypatch.setattr(sealed_stream.pwhash.argon2id, f"{name}_MODERATE", least)
