"""A node's TLS key and self-signed certificate, in the form that both engines accept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from pipeline.domain import Sha256
from pipeline.host.files import write_atomic, write_secret

YEARS = 10


def create(folder: Path, name: str, index: int, host: str) -> Sha256:
    """Make key.pem and cert.pem in `folder` unless they are there; returns the certificate's fingerprint.

    MP-SPDZ takes party i only if its certificate names `P<i>`: `index` is the node's position in the consortium's list.
    """
    certificate_file = folder / "cert.pem"
    key_file = folder / "key.pem"
    if not (certificate_file.exists() and key_file.exists()):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        key = ec.generate_private_key(ec.SECP256R1())
        write_secret(key_file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        write_atomic(certificate_file, _certificate(key, name, index, host).public_bytes(Encoding.PEM))
    return fingerprint(certificate_file)


def fingerprint(certificate_file: Path) -> Sha256:
    """SHA-256 of the certificate in DER."""
    return Sha256(x509.load_pem_x509_certificate(certificate_file.read_bytes()).fingerprint(hashes.SHA256()).hex())


def _certificate(key: ec.EllipticCurvePrivateKey, name: str, index: int, host: str) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    names: list[x509.GeneralName] = [x509.DNSName(f"P{index}"), _host_name(host)]
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=365 * YEARS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
