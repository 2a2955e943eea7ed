"""A whole round on each server of the object store, behind its guard as an installation starts it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.errors import Misconfigured
from pipeline.host import namespace
from pipeline.services import health, services
from pipeline.services.services import STORE
from pipeline.site.installation import Installation
from tests.adversary import attack
from tests.support.canaries import contents
from tests.support.consortia import Site

pytestmark = pytest.mark.anvil

_PATIENCE_SECONDS = 60


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("minio", marks=[pytest.mark.minio, pytest.mark.namespace]),
        pytest.param("versitygw", marks=pytest.mark.versitygw),
    ],
)
def own_site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """An installation for these tests alone."""
    with tempfile.TemporaryDirectory(prefix="wardround-") as folder:
        site = Site(Path(folder) / "home", store_server=request.param)
        try:
            yield site
        finally:
            site.stop()


def of_the_store(site: Site) -> list[psutil.Process]:
    """The process that the manager knows, the guard and the server."""
    known = psutil.Process(site.manager.pids()[STORE])
    return [known, *known.children(recursive=True)]


@pytest.mark.spu
def test_a_whole_round_ends_and_its_audit_holds(own_site: Site) -> None:
    play = own_site.play("whole")
    round_id = play.round()
    assert own_site.ledger.round(round_id).finalised is not None
    assert play.absences == {}
    own_site.each_thing_once(play, round_id)
    own_site.audits(round_id)


@attack(
    by="stranger",
    to="change",
    tries="to reach the store's server beside the guard",
    costs="nothing",
    seen="nothing",
)
def test_nothing_of_the_store_is_reached_from_this_machine_s_network_but_the_guard(own_site: Site) -> None:
    listening = {
        connection.laddr.port
        for connection in psutil.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    ours = {inode for process in of_the_store(own_site) for inode in sockets(process)}
    ports = {port for inode, port in listeners().items() if inode in ours}
    assert ports == {int(own_site.services.store.rpartition(":")[2])}
    assert ports <= listening


def sockets(process: psutil.Process) -> set[int]:
    """Inodes of the sockets that a process holds."""
    links = (Path(f"/proc/{process.pid}/fd")).iterdir()
    return {int(target[8:-1]) for link in links if (target := str(link.readlink())).startswith("socket:[")}


def listeners() -> dict[int, int]:
    """Inode to port of every TCP socket that listens in this process's own network."""
    rows = [
        row.split() for name in ("tcp", "tcp6") for row in Path(f"/proc/self/net/{name}").read_text().splitlines()[1:]
    ]
    return {int(row[9]): int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A"}


@pytest.mark.parametrize("which", [0, 1, 2])
def test_whichever_of_its_processes_is_killed_none_is_left_and_the_store_comes_back(own_site: Site, which: int) -> None:
    before = of_the_store(own_site)
    before[which].kill()
    _, left = psutil.wait_procs(before, timeout=_PATIENCE_SECONDS)
    assert [process for process in left if process.status() != psutil.STATUS_ZOMBIE] == []
    health.wait("the store", lambda: health.store(own_site.services), _PATIENCE_SECONDS)
    own_site.store().list("models", "")


@attack(
    by="stranger",
    to="learn",
    tries="to read an access key in logs, configurations, arguments or the members' file",
    costs="nothing",
    seen="nothing",
)
def test_no_access_key_stands_in_a_log_a_configuration_an_argument_or_the_members_file(own_site: Site) -> None:
    home = own_site.settings.home
    secrets = {
        path: path.read_text()
        for path in home.rglob("*")
        if path.name in ("store-credentials.json", "store-root", "store.env")
    }
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in secrets)
    keys = {own_site.store()._client._request_signer._credentials.access_key}
    for actor in (
        *own_site.settings.home.glob("hospitals/*"),
        *own_site.settings.home.glob("nodes/*"),
        own_site.settings.provider,
    ):
        keys.add(own_site.store(actor)._client._request_signer._credentials.access_key)
    assert len(keys) > 10
    said = [data.decode(errors="replace") for path, data in contents(home) if readable(own_site, path)]
    said += [" ".join(process.cmdline()) for process in of_the_store(own_site)]
    assert [key for key in keys if any(key in text for text in said)] == []


def readable(site: Site, path: Path) -> bool:
    """Whether a file is one of those that people are shown: logs, configurations, public lists."""
    return path.is_relative_to(site.settings.home / "logs") or path.suffix in (".yaml", ".conf")


def test_minio_does_not_start_where_it_cannot_be_shut_in(own_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespace, "can_shut_in", lambda: False)
    known = Installation.load(own_site.settings.installation)
    if known.store_server == "minio":
        with pytest.raises(Misconfigured, match="could pass by the guard"):
            services.programs(own_site.settings, known)
    else:
        assert services.programs(own_site.settings, known)[0].name == STORE


def test_another_server_is_refused_where_the_objects_lie_with_one(own_site: Site) -> None:
    known = Installation.load(own_site.settings.installation)
    other = known.model_copy(update={"store_server": {"minio": "versitygw", "versitygw": "minio"}[known.store_server]})
    other.save(own_site.settings.installation)
    try:
        with pytest.raises(Misconfigured, match=f"objects lie with {known.store_server}"):
            services.addresses(own_site.settings, running=True)
    finally:
        known.save(own_site.settings.installation)
