"""The provider's machine is lost and restored elsewhere: store, chain and database are those of its backup.

It was made while they stood still, or while they were written to.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy

from pipeline.airflow import postgres
from pipeline.backup.backup import back_up, restore
from pipeline.chain import rpc
from pipeline.chain.contract import Call
from pipeline.chain.ledger import Ledger
from pipeline.chain.outbox import Outbox
from pipeline.domain import HospitalName
from pipeline.evidence.canonical import canonical_json, sha256
from pipeline.host.secret import Secret
from pipeline.services import health, services
from pipeline.services.servers import root_account
from pipeline.services.services import CHAIN, DATABASE, STORE
from pipeline.services.supervisor import Supervisor
from pipeline.setup import sites
from pipeline.site.identity import SigningKey
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.site.site import PROVIDER, Site, SiteRole
from pipeline.store import object_keys
from pipeline.store.objects import Store
from tests.support.consortia import Site as Everybody
from tests.support.sites import FRONT

pytestmark = [pytest.mark.store, pytest.mark.anvil]

PASSPHRASE = Secret(b"correct horse battery")
PLACE = object_keys.consents("glade", HospitalName("aster"), node=False)
BACKING = (DATABASE, STORE, CHAIN)


def run_backing(settings: Settings) -> Supervisor:
    """What keeps the provider's data, as `wardround up` starts it."""
    installation = Installation.load(settings.installation)
    postgres.prepare(settings)
    manager = services.supervisor(settings)
    manager.start([program for program in services.programs(settings, installation) if program.name in BACKING])
    for name in BACKING:
        manager.launch(name)
    health.wait("PostgreSQL", lambda: postgres.trouble(settings), 60)
    health.wait("the object store", lambda: health.store(installation), 60)
    health.wait("the chain", lambda: health.chain(installation, None), 60)
    return manager


def say(settings: Settings, words: str, **values: object) -> list[tuple[object, ...]]:
    engine = sqlalchemy.create_engine(Secret.read(postgres.url_file(settings)).text())
    with engine.begin() as connection:
        answer = connection.execute(sqlalchemy.text(words), values)
        return [tuple(row) for row in answer] if answer.returns_rows else []


@pytest.fixture
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everybody]:
    made = Everybody(tmp_path_factory.mktemp("t") / "1")
    site = Site(role=SiteRole.PROVIDER, name=PROVIDER)
    site.save(made.settings)
    sites.init(site, FRONT, made.settings)
    sites.prepare_provider(made.settings)
    try:
        yield made
    finally:
        made.stop()


def test_a_provider_comes_back_elsewhere_with_its_store_chain_and_database(
    town: Everybody, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    before = town.settings
    key = PLACE.key(sha256(b"{}"))
    Store(town.services.store, root_account(before)).put_once(PLACE.bucket, key, b"{}")
    height = town.ledger.height()
    assert height > 1
    town.stop()
    run_backing(before)
    say(before, "create table remembered (what text)")
    say(before, "insert into remembered values ('this')")
    services.supervisor(before).stop()

    back_up(tmp_path / "file", PASSPHRASE, before)
    before.home.rename(before.home.with_name("lost"))
    home = tmp_path_factory.mktemp("t") / "2"
    after = Settings(home, before.data, before.cache, before.mp_spdz, home / "studies")
    restore(tmp_path / "file", PASSPHRASE, after)
    manager = run_backing(after)
    try:
        installation = Installation.load(after.installation)
        assert Store(installation.store, root_account(after)).get(PLACE.bucket, key, sha256(b"{}")) == b"{}"
        assert Ledger.connect(installation.rpc, town.members.ledger).height() == height
        assert say(after, "select what from remembered") == [("this",)]
        assert str(before.home) not in Secret.read(postgres.url_file(after)).text()
    finally:
        manager.stop()


class Traffic:
    """Writes an object, then its row, then a transaction, one after the other, until it is told to end."""

    def __init__(self, settings: Settings, chain_id: int) -> None:
        self._settings = settings
        self._installation = Installation.load(settings.installation)
        self._outbox = outbox_of(settings, chain_id)
        self._ends = threading.Event()
        self.written = 0

    def run(self) -> None:
        """Until `end`."""
        store = Store(self._installation.store, root_account(self._settings))
        while not self._ends.is_set():
            number = self.written + 1
            data = canonical_json({"number": number})
            store.put_once(PLACE.bucket, PLACE.key(sha256(data)), data)
            say(self._settings, "insert into numbers values (:number)", number=number)
            self._outbox.send(Call("something", self._outbox.address, b"\x01"), f"number-{number}")
            self.written = number

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """While the block runs; what it could not write is raised at its end."""
        with ThreadPoolExecutor(1) as thread:
            done = thread.submit(self.run)
            try:
                yield
            finally:
                self._ends.set()
            done.result()


def outbox_of(settings: Settings, chain_id: int) -> Outbox:
    installation = Installation.load(settings.installation)
    key = SigningKey(Secret.read(settings.provider / "signing-key"))
    return Outbox(settings.provider / "outbox", key, installation.rpc, chain_id)


def until(happens: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_provider_that_runs_comes_back_as_it_was_at_one_moment(
    town: Everybody, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    before = town.settings
    chain_id = town.members.ledger.chain_id
    town.stop()
    manager = run_backing(before)
    try:
        say(before, "create table numbers (number integer)")
        sent = len(list((before.provider / "outbox").rglob("*.tx.json")))
        traffic = Traffic(before, chain_id)
        with traffic.flowing():
            until(lambda: traffic.written > 3)
            own = Store(Installation.load(before.installation).store, root_account(before))
            key = PLACE.key(sha256(canonical_json({"number": 1})))
            versions = [one.version_id for one in own.versions(PLACE.bucket, key)]
            lock = own.client.get_object_lock_configuration(Bucket=PLACE.bucket)["ObjectLockConfiguration"]
            back_up(tmp_path / "file", PASSPHRASE, before)
            at_backup = traffic.written
            until(lambda: traffic.written > at_backup + 1)
    finally:
        manager.stop()
    before.home.rename(before.home.with_name("lost"))
    home = tmp_path_factory.mktemp("t") / "2"
    after = Settings(home, before.data, before.cache, before.mp_spdz, home / "studies")
    restore(tmp_path / "file", PASSPHRASE, after)
    manager = run_backing(after)
    try:
        installation = Installation.load(after.installation)
        store = Store(installation.store, root_account(after))
        rows = sorted(int(str(number)) for (number,) in say(after, "select number from numbers"))
        assert rows == list(range(1, len(rows) + 1))
        assert 3 < len(rows) <= at_backup + 1
        keys = {PLACE.key(sha256(canonical_json({"number": number}))): number for number in range(1, at_backup + 3)}
        stored = sorted(keys[item.key] for item in store.list(PLACE.bucket, PLACE.prefix) if item.key in keys)
        assert len(stored) - len(rows) in (0, 1)
        for number in stored:
            data = canonical_json({"number": number})
            assert store.get(PLACE.bucket, PLACE.key(sha256(data)), sha256(data)) == data
        assert [one.version_id for one in store.versions(PLACE.bucket, key)] == versions != []
        assert store.client.get_object_lock_configuration(Bucket=PLACE.bucket)["ObjectLockConfiguration"] == lock
        outbox = outbox_of(after, chain_id)
        outbox.settle()
        web3 = rpc.connect(installation.rpc, chain_id, None)
        on_chain = int(web3.eth.get_transaction_count(web3.to_checksum_address(outbox.address))) - sent
        assert len(rows) - on_chain in (0, 1)
        # It goes on where it was, and what was sent before is not sent twice.
        assert outbox.send(Call("something", outbox.address, b"\x01"), "number-1").block > 0
        outbox.send(Call("something", outbox.address, b"\x01"), f"number-{len(rows)}")
        assert int(web3.eth.get_transaction_count(web3.to_checksum_address(outbox.address))) - sent == len(rows)
    finally:
        manager.stop()
