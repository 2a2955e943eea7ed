"""Every client of ours, before a real TLS server under a right, a wrong and an expired certificate."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from pipeline.chain import rpc
from pipeline.errors import Misconfigured, WardroundError
from pipeline.host.secret import Secret
from pipeline.services import health
from pipeline.site import certificates
from pipeline.site.airflow_api import Airflow
from pipeline.site.identity import StoreCredentials
from pipeline.site.installation import Installation
from pipeline.store import admin
from pipeline.store.objects import Store
from tests.support import serving

ACCOUNT = StoreCredentials.generate("elm")

CLIENTS: dict[str, Callable[[str, Path | None], object]] = {
    "store": lambda url, authority: Store(url, ACCOUNT, authority).list("models", "x/"),
    "store's root, MinIO": lambda url, authority: admin.administrator("minio", url, ACCOUNT, authority).make_buckets(
        admin.Terms()
    ),
    "store's root, versitygw": lambda url, authority: admin.administrator(
        "versitygw", url, ACCOUNT, authority
    ).make_buckets(admin.Terms()),
    "chain": lambda url, authority: rpc.chain_id(f"{url}/rpc", authority),
    "Airflow": lambda url, authority: Airflow.login(url, "provider", Secret(b"x"), authority),
}


class Service:
    """Counts who came in, and knows nothing."""

    def __init__(self, port: int) -> None:
        self.url = f"https://localhost:{port}"
        self.left = threading.Event()
        self.asked = 0

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked += 1
        serving.body(handler)
        serving.reply(handler, b"{}", status=404)


@contextmanager
def server(folder: Path, host: str = "localhost") -> Iterator[Service]:
    certificates.create_authority(folder, "provider")
    certificates.create_server(folder, [host])
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    with serving.serving(Service, tls) as service:
        yield service


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_a_client_speaks_to_whom_its_authority_vouches_for(
    client: Callable[[str, Path | None], object], tmp_path: Path
) -> None:
    with server(tmp_path) as service:
        with suppress(WardroundError):  # that this server knows nothing
            client(service.url, tmp_path / certificates.AUTHORITY)
        assert service.asked


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_a_client_tells_no_secret_to_another_authoritys_server_and_says_certificate(
    client: Callable[[str, Path | None], object], tmp_path: Path
) -> None:
    certificates.create_authority(tmp_path / "ours", "provider")
    with server(tmp_path / "theirs") as service:
        for authority in (tmp_path / "ours" / certificates.AUTHORITY, None):
            with pytest.raises(Misconfigured, match=r"its certificate does not hold: .*join again only with") as said:
                client(service.url, authority)
            assert "wardround status" not in str(said.value)
            assert "is the store up" not in str(said.value)
        assert service.asked == 0


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_a_client_says_that_a_certificate_has_expired(
    client: Callable[[str, Path | None], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "SERVER_DAYS", -0.002)
    with server(tmp_path) as service:
        with pytest.raises(Misconfigured, match="certificate has expired; the provider renews it"):
            client(service.url, tmp_path / certificates.AUTHORITY)
        assert service.asked == 0


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_a_client_refuses_another_hosts_certificate(
    client: Callable[[str, Path | None], object], tmp_path: Path
) -> None:
    with server(tmp_path, host="elsewhere.example") as service:
        with pytest.raises(Misconfigured, match=r"does not hold: .*localhost"):
            client(service.url, tmp_path / certificates.AUTHORITY)
        assert service.asked == 0


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_an_authority_that_is_missing_is_named(
    client: Callable[[str, Path | None], object], content: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / "authority.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(
        Misconfigured, match=r"authority\.pem: got .*, want the certificate of the provider's authority"
    ):
        client("https://localhost:9", path)


def test_health_says_certificate_too(tmp_path: Path) -> None:
    certificates.create_authority(tmp_path / "ours", "provider")
    with server(tmp_path / "theirs") as service:
        ours = tmp_path / "ours" / certificates.AUTHORITY
        services = Installation(store=service.url, rpc=f"{service.url}/rpc", airflow=service.url, authority=ours)
        assert "certificate" in str(health.store(services))
        assert "certificate" in str(health.chain(services, None))
