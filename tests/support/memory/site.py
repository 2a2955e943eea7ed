"""An installation without a process: every actor's real program, on a store, a chain and an engine in memory.

What is put in their places is what reaches them: the S3 client, web3's transport, and the engine. All that stands above
is the real thing, down to the outbox's files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from pipeline.chain.ledger import Ledger
from pipeline.domain import RoundId
from pipeline.mpc.engines import ENGINES
from pipeline.services import servers
from pipeline.setup import demonstration, ledger, members
from pipeline.site.consortium import PORTS_PER_NODE
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.store import objects
from pipeline.study.study import Study
from tests.support.installed import EVERYBODY, Installed
from tests.support.memory.buckets import Buckets
from tests.support.memory.chain import Chain
from tests.support.memory.engine import PlainEngine

_FIRST_PORT = 20_000
"""Nobody listens there: an engine in memory takes an address for a name."""


class MemorySite(Installed):
    """Works within `reached` alone, where a test gets it."""

    def __init__(self, home: Path) -> None:
        usual = Settings.load()
        self.settings = Settings(home, usual.data, usual.cache, usual.mp_spdz, home / "studies")
        self.chain = Chain()
        self.buckets = Buckets()
        home.mkdir(mode=0o700)
        self.settings.studies.mkdir()
        self.services = Installation(store="http://store.test", rpc="http://chain.test", airflow="http://airflow.test")
        self.services.save(self.settings.installation)
        with self.reached():
            self._establish()

    def _establish(self) -> None:
        studies = {"everybody": Study.load(self._write("everybody", EVERYBODY))}
        everybody = members.members(studies)
        members.create_actors(self.settings, everybody)
        for credentials, policy in members.store_users(self.settings, everybody):
            self.buckets.admit(credentials, policy)
        self.buckets.admit(servers.root_account(self.settings), None)
        location = ledger.deploy(self.settings, self.services)
        ports = count(_FIRST_PORT, PORTS_PER_NODE)
        self.members = members.publish(self.settings, everybody, location, lambda node: f"127.0.0.1:{next(ports)}")
        ledger.establish(self.settings, self.services, self.members, studies)
        demonstration.deal_records(self.settings, studies)
        self.ledger = Ledger.connect(self.services.rpc, self.members.ledger)

    @contextmanager
    def reached(self) -> Iterator[None]:
        """Whoever asks for a chain, a store or an engine gets this one's, as long as the context lasts."""
        with self.chain.reached(), pytest.MonkeyPatch.context() as patch:
            patch.setattr(objects, "_session", lambda: self.buckets)
            patch.setitem(ENGINES, PlainEngine.name, PlainEngine)
            yield

    def pass_deadline(self, round_id: RoundId) -> None:
        self.near_deadline(round_id, -1)

    def near_deadline(self, round_id: RoundId, seconds: int) -> None:
        """Set the chain's clock so that so many seconds are left for the round's result."""
        left = self.ledger.round(round_id).opened.result_deadline - self.ledger.block_time()
        self.chain.ahead += max(0, left - seconds)
