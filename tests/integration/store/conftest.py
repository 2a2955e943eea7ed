"""Both servers of the object store, each with the guard before it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.store import objects
from tests.support.minio import StoreServer

_EACH = [pytest.param(kind, marks=getattr(pytest.mark, kind)) for kind in ("minio", "versitygw")]


@pytest.fixture(scope="session", params=_EACH)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreServer]:
    """One of each for all tests that do not disturb it."""
    server = StoreServer(tmp_path_factory.mktemp(request.param), request.param)
    yield server
    server.stop()


@pytest.fixture(params=_EACH)
def own_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreServer]:
    """One of a test's own, to be killed, restarted and tampered with."""
    server = StoreServer(tmp_path / "store", request.param)
    yield server
    server.stop()


@pytest.fixture
def own_clients() -> Iterator[None]:
    """What a test has the client of an account do, no other test's client of that account does."""
    objects._client.cache_clear()
    yield
    objects._client.cache_clear()
