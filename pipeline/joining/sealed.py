"""What an invitation says to one member alone: its access to the store and its token, sealed to its card's key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from pipeline.errors import EvidenceRejected
from pipeline.evidence.canonical import canonical_json, read_object
from pipeline.host.secret import Secret
from pipeline.joining.card import Card
from pipeline.site.identity import StoreCredentials

_LARGEST = 4096


@dataclass(frozen=True)
class Access:
    """What a site needs at the provider's services."""

    store: StoreCredentials
    token: Secret | None
    """None for a site that takes no work."""

    def seal(self, member: Card, provider: Card) -> bytes:
        """For `member` alone, and worth nothing in another one's or another provider's invitation."""
        content = {
            **_binding(member, provider),
            "access_key": self.store.access_key.text(),
            "secret_key": self.store.secret_key.text(),
            "token": None if self.token is None else self.token.text(),
        }
        return _box(member).encrypt(canonical_json(content))

    @classmethod
    def unseal(cls, sealed: bytes, member: Card, provider: Card, key: Secret) -> Access:
        """What `seal` sealed; raises EvidenceRejected when it was for another member or key, or by another provider."""
        try:
            opened = SealedBox(PrivateKey(key.reveal())).decrypt(sealed)
        except (CryptoError, ValueError, TypeError) as error:
            raise EvidenceRejected(
                f"{member.site.queue}: got a sealed part that this site's key does not open, as one to an earlier"
                " card: hand `card.json` to the provider, who invites anew"
            ) from error
        try:
            content = read_object(opened, _LARGEST)
        except EvidenceRejected as error:
            raise EvidenceRejected(
                f"{member.site.queue}: got a sealed part that holds no access: have the invitation made anew"
            ) from error
        binding = _binding(member, provider)
        token = content.get("token")
        texts = (content.get("access_key"), content.get("secret_key"))
        if content != {**binding, "access_key": texts[0], "secret_key": texts[1], "token": token}:
            raise EvidenceRejected(
                f"{member.site.queue}: got a sealed part that is meant for another site or comes from another provider:"
                " have the invitation made anew"
            )
        wanted = (*texts, *((token,) if member.site.works else ()))
        if not all(isinstance(text, str) and text for text in wanted) or (token is not None) is not member.site.works:
            raise EvidenceRejected(
                f"{member.site.queue}: got a sealed part without the keys and the token that its role needs: have the"
                " invitation made anew"
            )
        (access_key, secret_key) = (Secret(str(text).encode()) for text in texts)
        store = StoreCredentials(member.site.queue, access_key, secret_key)
        return cls(store, None if token is None else Secret(str(token).encode()))


def check_seal_key(card: Card) -> None:
    """Raise EvidenceRejected when nothing can be sealed to a card's key."""
    try:
        _box(card).encrypt(b"")
    except CryptoError as error:  # a point of low order
        raise EvidenceRejected(
            f"{card.site.queue}: got a seal key that is no key, want the one that `wardround site init` made"
        ) from error


def seal_key(key: Secret) -> str:
    """The public half, as a card has it."""
    return bytes(PrivateKey(key.reveal()).public_key).hex()


def _box(card: Card) -> SealedBox[PublicKey]:
    return SealedBox(PublicKey(bytes.fromhex(card.seal_key)))


def _binding(member: Card, provider: Card) -> dict[str, Any]:
    return {"for": [member.site.queue, member.address], "from": provider.address}
