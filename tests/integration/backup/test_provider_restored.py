"""The provider's machine is lost and restored elsewhere: store, chain and database are those of its backup."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy

from pipeline.airflow import postgres
from pipeline.backup.backup import back_up, restore
from pipeline.chain.ledger import Ledger
from pipeline.domain import HospitalName
from pipeline.evidence.canonical import sha256
from pipeline.host.secret import Secret
from pipeline.services import health, services
from pipeline.services.servers import root_account
from pipeline.services.services import CHAIN, DATABASE, STORE
from pipeline.services.supervisor import Supervisor
from pipeline.setup import sites
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.site.site import PROVIDER, Site, SiteRole
from pipeline.store import object_keys
from pipeline.store.objects import Store
from tests.support.consortia import Site as Everybody
from tests.support.sites import FRONT

pytestmark = [pytest.mark.store, pytest.mark.anvil]

PASSPHRASE = Secret(b"correct horse battery")
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


def say(settings: Settings, words: str) -> list[tuple[object, ...]]:
    engine = sqlalchemy.create_engine(Secret.read(postgres.url_file(settings)).text())
    with engine.begin() as connection:
        answer = connection.execute(sqlalchemy.text(words))
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
    place = object_keys.consents("glade", HospitalName("aster"), node=False)
    key = place.key(sha256(b"{}"))
    Store(town.services.store, root_account(before)).put_once(place.bucket, key, b"{}")
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
        assert Store(installation.store, root_account(after)).get(place.bucket, key, sha256(b"{}")) == b"{}"
        assert Ledger.connect(installation.rpc, town.members.ledger).height() == height
        assert say(after, "select what from remembered") == [("this",)]
        assert str(before.home) not in Secret.read(postgres.url_file(after)).text()
    finally:
        manager.stop()
