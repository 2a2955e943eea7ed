from __future__ import annotations

import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest

from pipeline.domain import Sha256
from pipeline.evidence.canonical import sha256
from pipeline.host import ports, trust
from pipeline.services import front
from pipeline.site import certificates
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.store.objects import Store
from pipeline.tools import runtime
from tests.support import serving
from tests.support.hub import until
from tests.support.minio import ROOT, StoreServer


class Service:
    """Says what reached it."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.left = threading.Event()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        serving.body(handler)
        serving.reply(handler, f"{self.url} {handler.command} {handler.path} {handler.headers['Host']}".encode())


@contextmanager
def before(installation: Installation, folder: Path) -> Iterator[str]:
    """The front's address."""
    runtime.guard_environment(Settings.load())
    certificates.create_authority(folder, "provider")
    certificates.create_server(folder, ["localhost", "127.0.0.1"])
    port = ports.choose()
    launch = front.launch(runtime.caddy_path(), f"127.0.0.1:{port}", folder, installation)
    process = subprocess.Popen(
        launch.command, env={**os.environ, **launch.environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: not ports.is_free(port), 60, "the front")
        yield f"localhost:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)


def test_each_call_reaches_its_service_with_its_own_host_and_path(tmp_path: Path) -> None:
    with ExitStack() as held:
        store, chain, airflow = (held.enter_context(serving.serving(Service)) for _ in range(3))
        services = Installation(store=store.url, rpc=chain.url, airflow=airflow.url)
        host = held.enter_context(before(services, tmp_path))
        trusted = trust.context(tmp_path / certificates.AUTHORITY)
        caller = held.enter_context(httpx.Client(base_url=f"https://{host}", verify=trusted))
        assert caller.post("/rpc").text == f"{chain.url} POST / {chain.url.removeprefix('http://')}"
        for path, service in {
            "/mailbox/a/b?versionId=x": store,
            "/models": store,
            "/reports/?list-type=2": store,
            "/dvc/x%20y": store,
            "/health": store,
            "/mailboxes": airflow,
            "/minio/admin/v3/list-users": airflow,
            "/create-user": airflow,
            "/": airflow,
            "/rpc": airflow,
            "/sites/hospital-wren/edge_worker/v1/worker%2fx": airflow,
        }.items():
            assert caller.get(path).text == f"{service.url} GET {path} {host}"


def test_nobody_is_served_in_the_clear_or_by_an_old_version_of_tls(tmp_path: Path) -> None:
    services = Installation(store="http://127.0.0.1:9", rpc="http://127.0.0.1:9", airflow="http://127.0.0.1:9")
    with before(services, tmp_path) as host:
        assert httpx.get(f"http://{host}/").status_code == 400
        old = trust.context(tmp_path / certificates.AUTHORITY)
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(httpx.ConnectError, match="protocol"):
            httpx.get(f"https://{host}/", verify=old)
        # By its number too, which names nobody in the handshake.
        number = f"https://{host.replace('localhost', '127.0.0.1')}/"
        assert httpx.get(number, verify=trust.context(tmp_path / certificates.AUTHORITY)).status_code == 502


@pytest.mark.store
def test_the_stores_signatures_hold_through_it(tmp_path: Path) -> None:
    kind = runtime.usual_store()
    server = StoreServer(tmp_path / "store", kind)
    try:
        services = Installation(store=server.endpoint, rpc="http://127.0.0.1:9", airflow="http://127.0.0.1:9")
        with before(services, tmp_path / "tls") as host:
            store = Store(f"https://{host}", ROOT, tmp_path / "tls" / certificates.AUTHORITY)
            data = os.urandom(1 << 20)
            digest = Sha256(sha256(data))
            written = store.put_once("models", f"x/{digest}", data)
            assert store.read(written) == data
            assert [item.key for item in store.list("models", "x/")] == [f"x/{digest}"]
    finally:
        server.stop()
