"""Behind a proxy that answers nobody.

Services of this machine are reached past it, what lies elsewhere is asked for through it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.site.settings import PROJECT
from tests.support.chains import CHAIN_ID, Devchain, devchain
from tests.support.minio import ROOT, StoreServer

_CALLS = """
import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.progress import Progress

from pipeline.host import transfer
from pipeline.chain import rpc
from pipeline.errors import Unavailable
from pipeline.evidence.canonical import sha256
from pipeline.site.identity import StoreCredentials
from pipeline.site.installation import Installation
from pipeline.services import health
from pipeline.store import admin
from pipeline.store.objects import Store

home, store, chain, number, publisher = Path(sys.argv[1]), *sys.argv[2:]
root = StoreCredentials.load(home / "root")
installation = Installation(store=store, rpc=chain, airflow=chain)
assert health.store(installation) is None
assert health.chain(installation, int(number)) is None
admin.administrator("minio", store, root).make_buckets(admin.Terms())
ref = Store(store, root).put_once("mailbox", f"round/{sha256(b'here')}", b"here")
assert Store(store, root).read(ref) == b"here"
assert rpc.connect(chain, int(number)).eth.block_number >= 0
try:
    transfer.fetch(publisher, {"file": "md5:" + "0" * 32}, home, 10, Progress(disable=True))
except Unavailable as error:
    print(error)
"""


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devchain]:
    with devchain(tmp_path_factory.mktemp("ledger")) as made:
        yield made


@pytest.mark.minio
@pytest.mark.anvil
@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_store_and_chain_of_this_machine_are_reached_whatever_the_proxy_and_publishers_through_it(
    minio: StoreServer, chain: Devchain, tmp_path: Path, scheme: str
) -> None:
    ROOT.save(tmp_path / "root")
    dead = f"{scheme}://127.0.0.1:9"
    proxied = {key: value for key, value in os.environ.items() if key.lower() != "no_proxy"}
    proxied |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"), dead)
    # A name that nobody has: a proxy is asked before it is looked up.
    arguments = [str(tmp_path), minio.endpoint, chain.url, str(CHAIN_ID), "http://publisher.invalid/"]
    done = subprocess.run(
        [sys.executable, "-c", _CALLS, *arguments],
        cwd=PROJECT,
        env=proxied,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "file from publisher.invalid (" in done.stdout
    assert "Name or service not known" not in done.stdout
