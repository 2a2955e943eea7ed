"""TLS identities in the form in which MP-SPDZ looks for them.

One folder, files by party number, links by subject hash.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from pipeline.errors import EngineFailed
from pipeline.host.files import write_secret
from pipeline.host.secret import Secret

_PARTY_NAME = re.compile(r"P\d+", re.IGNORECASE)


def install(folder: Path, index: int, certificate: Path, key: Path, pinned: Sequence[Path]) -> None:
    """Lay out every pinned certificate and this node's key.

    Raises EngineFailed for one that could stand for another node.
    """
    contents = [path.read_bytes() for path in pinned]
    if certificate.read_bytes() != contents[index]:
        raise EngineFailed(
            f"mp-spdz: party {index}: {certificate.name} is not the certificate pinned for this node; approve the study"
            " with the new one"
        )
    for party, content in enumerate(contents):
        check(party, content)
        (folder / f"P{party}.pem").write_bytes(content)
    write_secret(folder / f"P{index}.key", Secret.read(key).reveal())
    try:
        command = ["openssl", "rehash", str(folder)]
        environment = {"PATH": os.defpath}
        subprocess.run(command, check=True, env=environment, stdin=subprocess.DEVNULL, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise EngineFailed(f"mp-spdz: `openssl rehash` failed on the pinned certificates: {error}") from error


def check(party: int, pem: bytes) -> None:
    """Raise EngineFailed unless the certificate names P<party>, no other party, and cannot sign for anybody else."""
    # the engine trusts the whole folder for every party: only the name tells one pinned node from another
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise EngineFailed(f"mp-spdz: the certificate of party {party} is not PEM: {error}") from error
    names = {name for name in _names(certificate) if _PARTY_NAME.fullmatch(name)}
    if names != {f"P{party}"}:
        raise EngineFailed(
            f"mp-spdz: the certificate of party {party} names {', '.join(sorted(names)) or 'no party'}, want P{party}"
            " alone; list a study's nodes in the consortium's order, or make the node a certificate for its place"
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
