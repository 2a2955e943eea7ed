"""The provider's authority, and the server's certificate under it."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from pipeline.errors import Misconfigured
from pipeline.site import certificates

HOST = "rounds.example.org"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    certificates.create_authority(tmp_path, "Wardround provider")
    return tmp_path


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_the_authority_stays_and_its_key_is_private(folder: Path) -> None:
    before = certificates.fingerprint(folder / "authority.pem")
    assert certificates.create_authority(folder, "another name") == before
    assert (folder / "authority-key.pem").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_client_that_trusts_the_authority_alone_takes_the_server_by_each_of_its_hosts(folder: Path) -> None:
    assert certificates.create_server(folder, [HOST, "10.77.1.11"])
    assert (folder / "key.pem").stat().st_mode & 0o777 == 0o600
    for name in (HOST, "10.77.1.11"):
        assert handshake(folder, folder / "authority.pem", name) is None
    assert "Hostname mismatch" in str(handshake(folder, folder / "authority.pem", "other.example.org"))


def test_a_server_under_another_authority_of_the_same_name_is_refused(folder: Path, tmp_path: Path) -> None:
    certificates.create_server(folder, [HOST])
    certificates.create_authority(tmp_path / "other", "Wardround provider")
    assert "CERTIFICATE_VERIFY_FAILED" in str(handshake(folder, tmp_path / "other" / "authority.pem", HOST))


def test_the_server_s_certificate_holds_to_the_strict_rules_and_cannot_sign_for_others(folder: Path) -> None:
    certificates.create_server(folder, [HOST])
    store = Store([read(folder / "authority.pem")])
    chain = PolicyBuilder().store(store).build_server_verifier(x509.DNSName(HOST)).verify(read(folder / "cert.pem"), [])
    assert len(chain) == 2
    constraints = [each.extensions.get_extension_for_class(x509.BasicConstraints).value.ca for each in reversed(chain)]
    assert constraints == [True, False]


def test_a_standing_server_stays_and_one_for_other_hosts_or_of_another_authority_is_made_anew(
    folder: Path, tmp_path: Path
) -> None:
    certificates.create_server(folder, [HOST])
    first = certificates.fingerprint(folder / "cert.pem")
    assert not certificates.create_server(folder, [HOST])
    assert certificates.fingerprint(folder / "cert.pem") == first
    assert certificates.create_server(folder, [HOST, "127.0.0.1"])
    for name in ("authority.pem", "authority-key.pem"):
        (folder / name).unlink()
    certificates.create_authority(folder, "Wardround provider")
    assert certificates.create_server(folder, [HOST, "127.0.0.1"])


def test_a_server_near_its_end_is_made_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "SERVER_DAYS", certificates.RENEWAL_DAYS - 1)
    certificates.create_server(folder, [HOST])
    monkeypatch.undo()
    assert certificates.create_server(folder, [HOST])
    left = read(folder / "cert.pem").not_valid_after_utc - datetime.now(UTC)
    assert left > timedelta(days=certificates.SERVER_DAYS - 1)


def test_a_server_needs_an_authority(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="site init --provider"):
        certificates.create_server(tmp_path, [HOST])


def handshake(folder: Path, trusted: Path, name: str) -> Exception | None:
    """What a client says that trusts `trusted` alone and calls the server `name`."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    client = ssl.create_default_context(cafile=str(trusted))
    (one, other) = socket.socketpair()

    def serve() -> None:
        try:
            server.wrap_socket(one, server_side=True).close()
        except OSError:
            one.close()

    thread = Thread(target=serve)
    thread.start()
    try:
        client.wrap_socket(other, server_hostname=name).close()
        return None
    except ssl.SSLError as error:
        return error
    finally:
        other.close()
        thread.join()
