"""Invitations: what a member reads of one that is for it, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from nacl.public import PrivateKey

from pipeline.domain import SiteFile
from pipeline.evidence import signing
from pipeline.evidence.canonical import canonical_json
from pipeline.host.secret import Secret
from pipeline.joining.card import Card
from pipeline.joining.invitation import Invitation
from pipeline.joining.sealed import Access
from pipeline.joining.site_file import SCHEME, VERSION
from pipeline.site.identity import StoreCredentials
from tests.vectors import actors, cards
from tests.vectors.files import Given

ABOUT = (
    "given.file is an invitation's text, canonical JSON, signed by the provider as EIP-712's Invitation(bytes32"
    " content) in the domain of cards. given.seal_key is the member's private X25519 key: sealed is a libsodium sealed"
    " box of canonical JSON that holds access_key, secret_key, token, for: [site, address] and from: the provider's"
    " address. Sealing anew gives other bytes that open to the same"
)

_SEAL_KEY = "6b" * 32
_PROVIDER_KEY = actors.OTHER_PRIVATE_KEY
_TOKEN = "a token of a site"
_SIGNER = "got a signature by"
_SEALED = "got a sealed part"
REFUSED = {
    "bad_truncated": "sent again",
    "bad_white_space": "another spelling",
    "bad_other_version": "install one version at all sites",
    "bad_card_of_another_version": "install one version at all sites",
    "bad_changed_after_signing": _SIGNER,
    "bad_signed_by_a_member": _SIGNER,
    "bad_signed_as_a_card": _SIGNER,
    "bad_forged_card": "card of hospital-northgate: got a signature by",
    "bad_study_of_a_path": "studies",
    "bad_sealed_to_another_key": _SEALED,
    "bad_sealed_for_another_member": _SEALED,
    "bad_sealed_by_another_provider": _SEALED,
    "bad_sealed_without_a_token": _SEALED,
}


def given(kept: Mapping[str, Given]) -> dict[str, Given]:
    whole = kept["for_a_hospital"]["file"] if "for_a_hospital" in kept else _file(_content())
    value = json.loads(whole)
    content = {name: part for name, part in value.items() if name != "signature"}
    member = value["cards"][0]
    changed: dict[str, Callable[[], str]] = {
        "bad_truncated": lambda: whole[: len(whole) // 2],
        "bad_white_space": lambda: json.dumps(value, sort_keys=True),
        "bad_other_version": lambda: _file(content | {"version": "0.0.1"}),
        "bad_card_of_another_version": lambda: _file(content | {"cards": [json.loads(_member(version="0.0.1"))]}),
        "bad_changed_after_signing": lambda: _text(value | {"made": cards.NOW + 1}),
        "bad_signed_by_a_member": lambda: _file(content, actors.PRIVATE_KEY),
        "bad_signed_as_a_card": lambda: _file(content, kind=SiteFile.CARD),
        "bad_forged_card": lambda: _file(content | {"cards": [member | {"seal_key": "5f" * 32}]}),
        "bad_study_of_a_path": lambda: _file(content | {"studies": {"../x": ""}}),
        "bad_sealed_to_another_key": lambda: _file(content | {"sealed": _seal(seal_key="6c" * 32)}),
        "bad_sealed_for_another_member": lambda: _file(content | {"sealed": _seal(name="eastfield")}),
        "bad_sealed_by_another_provider": lambda: _file(content | {"sealed": _seal(provider=actors.PRIVATE_KEY)}),
        "bad_sealed_without_a_token": lambda: _file(content | {"sealed": _seal(token=None)}),
    }
    files = {"for_a_hospital": whole}
    files |= {name: kept[name]["file"] if name in kept else make() for name, make in changed.items()}
    return {name: {"file": file, "seal_key": _SEAL_KEY} for name, file in files.items()}


def answer(given: Given) -> dict[str, Any]:
    found = Invitation.read(given["file"].encode(), "invitation")
    own = found.own
    assert own is not None
    sealed = bytes.fromhex(found.sealed)
    access = Access.unseal(sealed, own, found.provider, Secret(bytes.fromhex(given["seal_key"])))
    return {
        "member": found.member,
        "front": found.front,
        "provider": found.provider.words,
        "access_key": access.store.access_key.text(),
        "secret_key": access.store.secret_key.text(),
        "token": None if access.token is None else access.token.text(),
    }


def _content() -> dict[str, Any]:
    return {
        "scheme": SCHEME,
        "version": VERSION,
        "made": cards.NOW,
        "member": "hospital-northgate",
        "provider": json.loads(_provider()),
        "cards": [json.loads(_member())],
        "ledger": {"chain_id": 31337, "contract": actors.CONTRACT, "development": True},
        "studies": {"heart": "title: Heart\n"},
        "sealed": _seal(),
    }


def _file(content: Mapping[str, Any], key: str = _PROVIDER_KEY, kind: SiteFile = SiteFile.INVITATION) -> str:
    return _text({**content, "signature": signing.sign_site_file(kind, content, actors.key(key))})


def _text(value: Any) -> str:
    return canonical_json(value).decode()


def _member(seal_key: str = _SEAL_KEY, **changes: Any) -> str:
    public = bytes(PrivateKey(bytes.fromhex(seal_key)).public_key).hex()
    return cards.card(seal_key=public, **changes)


def _provider(key: str = _PROVIDER_KEY) -> str:
    host = "rounds.example.org"
    authority = cards.certificate(host, authority=True)
    address = actors.key(key).address
    return cards.card(
        private_key=key, role="provider", name="provider", address=address, host=f"{host}:8443", certificate=authority
    )


def _seal(
    seal_key: str = _SEAL_KEY, name: str = "northgate", provider: str = _PROVIDER_KEY, token: str | None = _TOKEN
) -> str:
    member = Card.read(_member(seal_key, name=name).encode(), "card")
    store = StoreCredentials(member.site.queue, Secret(b"ACCESSKEY"), Secret(b"secret key"))
    access = Access(store, None if token is None else Secret(token.encode()))
    return access.seal(member, Card.read(_provider(provider).encode(), "card")).hex()
