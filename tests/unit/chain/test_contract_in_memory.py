"""The contract that unit tests of a round play on follows the real one's rules: what that is tested by holds for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from pipeline.ledger_types.events import StudyId
from tests.integration.chain import test_majority, test_state_machine
from tests.integration.chain.test_majority import result
from tests.support.chains import Actors
from tests.support.memory.chain import Chain

__all__ = ["result"]

for module in (test_majority, test_state_machine):
    globals().update({name: test for name, test in vars(module).items() if name.startswith("test_")})


@dataclass
class _Actors(Actors):
    """They need not wait: the chain's clock is theirs."""

    chain: Chain = field(default_factory=Chain)

    def wait_until(self, block_time: int) -> None:
        self.chain.ahead += max(0, block_time + 1 - self.chain.now)


@pytest.fixture(scope="module")
def actors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Actors]:
    """A ledger in memory, with a consortium's keys."""
    chain = Chain()
    with chain.reached():
        yield _Actors("http://chain.test", tmp_path_factory.mktemp("outbox"), chain=chain)


@pytest.fixture
def study(actors: Actors, request: pytest.FixtureRequest) -> StudyId:
    """A study of this test's own."""
    return actors.new_study(request.node.nodeid)
