"""Cards of sites: what is read of them, and what is no card."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from pipeline.domain import SiteFile
from pipeline.evidence import signing
from pipeline.evidence.canonical import canonical_json
from pipeline.joining.card import Card
from pipeline.joining.certificate_check import check_certificate
from pipeline.joining.site_file import SCHEME, VERSION
from tests.vectors import actors
from tests.vectors.files import Given

ABOUT = (
    "given.file is a card's text, canonical JSON: all fields but signature are signed as EIP-712's type"
    " Card(bytes32 content) in the domain {name: Wardround, version: 1}, content being the SHA-256 of their canonical"
    " bytes. given.now is the time at which it is read. want.words are BIP-39's for the first 128 bits of"
    " want.fingerprint, which is over role, name, address, seal_key and certificate"
)

NOW = 1_795_000_000

HOSPITAL: dict[str, Any] = {
    "role": "hospital",
    "name": "northgate",
    "address": actors.key(actors.PRIVATE_KEY).address,
    "seal_key": "5e" * 32,
    "certificate": None,
    "host": None,
}

_VERSION = "install one version at all sites"
_SIGNER = "got a signature by"
_AGAIN = "sent again"
_CHANGED: dict[str, tuple[dict[str, Any], str]] = {
    "bad_other_scheme": ({"scheme": SCHEME + 1}, _VERSION),
    "bad_other_version": ({"version": "0.0.1"}, _VERSION),
    "bad_other_address": ({"address": actors.key(actors.OTHER_PRIVATE_KEY).address}, _SIGNER),
    "bad_address_in_small_letters": ({"address": HOSPITAL["address"].lower()}, _SIGNER),
    "bad_role": ({"role": "king"}, "role"),
    "bad_name": ({"name": "../northgate"}, "name"),
    "bad_name_of_a_path": ({"name": "rounds"}, "word of the store's paths"),
    "bad_host_of_a_hospital": ({"host": "northgate.example.org:7000"}, "nobody else"),
    "bad_node_without_a_host": ({"role": "node"}, "of a node"),
    "bad_time": ({"made": "today"}, "made"),
    "bad_field_more": ({"colour": "red"}, "colour"),
}
_DAMAGED: dict[str, Callable[[str], str]] = {
    "bad_truncated": lambda file: file[:-2],
    "bad_empty": lambda file: "",
    "bad_white_space": lambda file: json.dumps(json.loads(file), sort_keys=True),
    "bad_field_twice": lambda file: file[:-1] + ',"name":"northgate"}',
}
_CERTIFICATES: dict[str, str] = {
    "bad_certificate_for_another_host": "want one for",
    "bad_certificate_that_expired": "mend the clock",
    "bad_certificate_that_signs_others": "signs nobody else",
}
REFUSED = (
    {name: says for name, (_, says) in _CHANGED.items()}
    | dict.fromkeys(_DAMAGED, _AGAIN)
    | {"bad_changed_after_signing": _SIGNER, "bad_signed_as_an_invitation": _SIGNER}
    | _CERTIFICATES
)


def given(kept: Mapping[str, Given]) -> dict[str, Given]:
    hospital = card()
    value = json.loads(hospital)
    found = {"hospital": hospital, "node": _kept(kept, "node") or _node()}
    found |= {name: card(**changes) for name, (changes, _) in _CHANGED.items()}
    found |= {name: damage(hospital) for name, damage in _DAMAGED.items()}
    found["bad_changed_after_signing"] = canonical_json(value | {"name": "southgate"}).decode()
    found["bad_signed_as_an_invitation"] = card(kind=SiteFile.INVITATION)
    wrong = {
        "bad_certificate_for_another_host": {"host": "elsewhere.example.org"},
        "bad_certificate_that_expired": {"days": 1},
        "bad_certificate_that_signs_others": {"authority": True},
    }
    found |= {name: _kept(kept, name) or _node(**how) for name, how in wrong.items()}
    return {
        name: {"file": file, "now": NOW + 2 * 86_400 if name == "bad_certificate_that_expired" else NOW}
        for name, file in found.items()
    }


def answer(given: Given) -> dict[str, Any]:
    found = Card.read(given["file"].encode(), "card")
    check_certificate(found, given["now"])
    return {"site": found.site.queue, "fingerprint": found.fingerprint, "words": found.words}


def card(kind: SiteFile = SiteFile.CARD, private_key: str = actors.PRIVATE_KEY, **changes: Any) -> str:
    """A card's text, signed whatever it says."""
    content = {"scheme": SCHEME, "version": VERSION, "made": NOW, **HOSPITAL, **changes}
    signature = signing.sign_site_file(kind, content, actors.key(private_key))
    return canonical_json(content | {"signature": signature}).decode()


def certificate(host: str, *, days: int = 3650, authority: bool = False) -> str:
    """One that signs itself, good from the vectors' time on."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    begin = datetime.fromtimestamp(NOW, UTC) - timedelta(hours=1)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=0 if authority else None), critical=True)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def _node(host: str = "alder.example.org", **how: Any) -> str:
    return card(role="node", name="alder", host="alder.example.org:7000", certificate=certificate(host, **how))


def _kept(kept: Mapping[str, Given], name: str) -> str | None:
    return kept[name]["file"] if name in kept else None
