"""TLS identities for one computation, in the form in which MP-SPDZ looks for them.

MP-SPDZ trusts all certificates of one folder for every party, and tells parties by the name `P<i>` alone. So a node's
own certificate, which stands for it in whatever place a study gives it, never goes there: each party makes a key for
this computation, whose certificate names its place, and tells it over the connection on which certificates are pinned.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from pipeline.errors import EngineFailed
from pipeline.host.files import write_secret
from pipeline.host.secret import Secret

_PARTY_NAME = re.compile(r"P\d+", re.IGNORECASE)

_LIFE = timedelta(days=2)
"""Before and after its making: clocks of nodes differ, and no computation lasts so long."""


class PartyKey(NamedTuple):
    """One party's key for one computation."""

    certificate: str
    """PEM."""
    key: Secret


def make(index: int) -> PartyKey:
    """Return a fresh key, and a certificate that names P<index> alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"P{index}")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LIFE)
        .not_valid_after(now + _LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(f"P{index}")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = Secret(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return PartyKey(certificate.public_bytes(Encoding.PEM).decode(), secret)


def install(folder: Path, index: int, own: PartyKey, told: Mapping[int, object]) -> None:
    """Lay out this party's key and what the peers told.

    Raises EngineFailed for a certificate that could stand for another party.
    """
    for party, certificate in {**told, index: own.certificate}.items():
        pem = certificate.encode() if isinstance(certificate, str) else b""
        check(party, pem)
        (folder / f"P{party}.pem").write_bytes(pem)
    write_secret(folder / f"P{index}.key", own.key.reveal())
    try:
        command = ["openssl", "rehash", str(folder)]
        environment = {"PATH": os.defpath}
        subprocess.run(command, check=True, env=environment, stdin=subprocess.DEVNULL, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise EngineFailed(f"mp-spdz: `openssl rehash` failed on the parties' certificates: {error}") from error


def check(party: int, pem: bytes) -> None:
    """Raise EngineFailed unless the certificate names P<party>, no other party, and cannot sign for anybody else."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise EngineFailed(f"mp-spdz: the certificate of party {party} is not PEM: {error}") from error
    names = {name for name in _names(certificate) if _PARTY_NAME.fullmatch(name)}
    if names != {f"P{party}"}:
        raise EngineFailed(
            f"mp-spdz: the certificate of party {party} names {', '.join(sorted(names)) or 'no party'}, want P{party}"
            " alone; this party deviates, or runs another version of the code"
        )
    try:
        authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        authority = True
    if authority:
        raise EngineFailed(
            f"mp-spdz: the certificate of party {party} may sign others, so it could stand for any node; want"
            " basicConstraints CA:FALSE"
        )


def _names(certificate: x509.Certificate) -> set[str]:
    names = {str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)}
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return names
    return names | set(alternative.get_values_for_type(x509.DNSName))
