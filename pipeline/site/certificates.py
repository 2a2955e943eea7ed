"""TLS keys and certificates: a node's own, which the others pin, and the provider's authority with its server's.

A node's certificate signs itself, and stands for nobody else. All that sites call at the provider is served under the
provider's authority, the only one that they trust.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pipeline.domain import Sha256
from pipeline.errors import Misconfigured
from pipeline.host.files import write_atomic, write_secret
from pipeline.host.secret import Secret

YEARS = 10
"""Life of a node's certificate and of an authority's."""

SERVER_DAYS = 800
"""Life of a server's certificate: browsers take no longer one."""

RENEWAL_DAYS = 90
"""A server's certificate with less to live is made anew."""

TLS = "tls"
"""In a private folder of a node or the provider: what it proves by who it is."""
AUTHORITY = "authority.pem"
_AUTHORITY_KEY = "authority-key.pem"
_CLOCK_DIFFERENCE = timedelta(minutes=5)


class _Issuer(NamedTuple):
    """Who signs a certificate."""

    name: x509.Name
    key: ec.EllipticCurvePrivateKey


def create(folder: Path, name: str, host: str) -> Sha256:
    """Make a node's key.pem and cert.pem in `folder` unless they are there; returns the certificate's fingerprint."""
    certificate_file = folder / "cert.pem"
    key_file = folder / "key.pem"
    if not (certificate_file.exists() and key_file.exists()):
        key = _new_key(key_file)
        builder = _builder(key, _Issuer(_name(name), key), name, timedelta(days=365 * YEARS))
        builder = builder.add_extension(_hosts([host]), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        _write(certificate_file, builder, key)
    return fingerprint(certificate_file)


def create_authority(folder: Path, name: str) -> Sha256:
    """Make authority.pem and its key in `folder` unless they are there; returns the authority's fingerprint."""
    if not ((folder / AUTHORITY).exists() and (folder / _AUTHORITY_KEY).exists()):
        key = _new_key(folder / _AUTHORITY_KEY)
        builder = _builder(key, _Issuer(_name(name), key), name, timedelta(days=365 * YEARS))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(signs_others=True), critical=True)
        _write(folder / AUTHORITY, builder, key)
    return fingerprint(folder / AUTHORITY)


def create_server(folder: Path, hosts: Sequence[str]) -> bool:
    """Make key.pem and cert.pem in `folder` for these hosts under the authority that lies there; False when they stand.

    One that is for other hosts, of another authority or near its end is made anew; raises Misconfigured without an
    authority.
    """
    if not (folder / AUTHORITY).exists():
        raise Misconfigured(
            f"{folder / AUTHORITY}: got no authority, want the provider's; run `wardround site init --provider`"
        )
    authority = x509.load_pem_x509_certificate((folder / AUTHORITY).read_bytes())
    if _serves(folder, hosts, authority):
        return False
    issuer_key = load_pem_private_key(Secret.read(folder / _AUTHORITY_KEY).reveal(), None)
    if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
        raise Misconfigured(f"{folder / _AUTHORITY_KEY}: got another kind of key than Wardround makes; put it back")
    key = _new_key(folder / "key.pem")
    builder = _builder(key, _Issuer(authority.subject, issuer_key), hosts[0], timedelta(days=SERVER_DAYS))
    builder = builder.add_extension(_hosts(hosts), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs_others=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    _write(folder / "cert.pem", builder, issuer_key)
    return True


def fingerprint(certificate_file: Path) -> Sha256:
    """SHA-256 of the certificate in DER."""
    return Sha256(x509.load_pem_x509_certificate(certificate_file.read_bytes()).fingerprint(hashes.SHA256()).hex())


def _serves(folder: Path, hosts: Sequence[str], authority: x509.Certificate) -> bool:
    if not ((folder / "cert.pem").exists() and (folder / "key.pem").exists()):
        return False
    certificate = x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes())
    try:
        certificate.verify_directly_issued_by(authority)
        named = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    lives = certificate.not_valid_after_utc - datetime.now(UTC) > timedelta(days=RENEWAL_DAYS)
    return lives and list(named) == list(_hosts(hosts))


def _new_key(path: Path) -> ec.EllipticCurvePrivateKey:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    key = ec.generate_private_key(ec.SECP256R1())
    write_secret(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key


def _builder(key: ec.EllipticCurvePrivateKey, issuer: _Issuer, name: str, life: timedelta) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    issued_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(issuer.name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_DIFFERENCE)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(issued_by, critical=False)
    )


def _write(path: Path, builder: x509.CertificateBuilder, issuer_key: ec.EllipticCurvePrivateKey) -> None:
    write_atomic(path, builder.sign(issuer_key, hashes.SHA256()).public_bytes(Encoding.PEM))


def _usage(*, signs_others: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_others,
        key_cert_sign=signs_others,
        crl_sign=signs_others,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _hosts(hosts: Sequence[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([_host_name(host) for host in hosts])


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
