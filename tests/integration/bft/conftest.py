"""One network and one consortium on it for all tests; they kill validators and bring them back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.bft import Network
from tests.support.consortia import Site


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    made = Network(tmp_path_factory.mktemp("network") / "validators")
    yield made
    made.stop()


@pytest.fixture(scope="session")
def site(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """MinIO and every actor, whose ledger stands on the network."""
    made = Site(tmp_path_factory.mktemp("site") / "home", rpc=network.url)
    yield made
    made.stop()
