"""Who a worker is: its signing key and its secrets, read from its own private folder."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from eth_account import Account
from eth_account.messages import SignableMessage
from eth_account.signers.local import LocalAccount

from pipeline.domain import Address
from pipeline.errors import Misconfigured
from pipeline.host.files import write_secret
from pipeline.host.secret import Secret

STORE_CREDENTIALS = "store-credentials.json"
"""In an actor's private folder: its access to the object store."""


_SHARING = "sharing-secret"


class SigningKey:
    """A secp256k1 key; prints its address only."""

    def __init__(self, secret: Secret) -> None:
        self._account: LocalAccount = Account.from_key(secret.reveal())
        self.address = Address(self._account.address)

    @property
    def account(self) -> LocalAccount:
        """The account that signs transactions."""
        return self._account

    def sign(self, message: SignableMessage) -> str:
        """Sign EIP-712 data; 65 bytes in hexadecimal."""
        return bytes(self._account.sign_message(message).signature).hex()

    def __repr__(self) -> str:
        return f"SigningKey({self.address})"


@dataclass(frozen=True)
class StoreCredentials:
    """An actor's access to the object store, limited by the store's own policy.

    The access key is as secret as the secret key.
    """

    actor: str
    access_key: Secret
    secret_key: Secret

    @classmethod
    def generate(cls, actor: str) -> StoreCredentials:
        """Two fresh keys, as long as S3's own: 20 letters and digits with 100 bits, 40 characters with 240."""
        access_key = base64.b32encode(Secret.generate(13).reveal())[:20]
        return cls(actor, Secret(access_key), Secret(Secret.generate(30).token().encode()))

    @classmethod
    def load(cls, path: Path) -> StoreCredentials:
        """Read what `save` wrote; raises Misconfigured."""
        stored = json.loads(Secret.read(path).text())
        fields = ("actor", "access_key", "secret_key")
        if not isinstance(stored, dict) or not all(isinstance(stored.get(name), str) for name in fields):
            raise Misconfigured(
                f"{path}: want {', '.join(fields)}; move the file away and run `wardround up` for a fresh account"
            )
        return cls(stored["actor"], Secret(stored["access_key"].encode()), Secret(stored["secret_key"].encode()))

    def save(self, path: Path) -> None:
        """Write them for their owner's eyes only."""
        stored = {"actor": self.actor, "access_key": self.access_key.text(), "secret_key": self.secret_key.text()}
        write_secret(path, json.dumps(stored).encode())


@dataclass(frozen=True)
class Identity:
    """One actor of the consortium: `home` is its private folder (mode 700)."""

    name: str
    home: Path
    key: SigningKey
    credentials: StoreCredentials

    @classmethod
    def load(cls, home: Path) -> Identity:
        """Read the actor of `home`; raises Misconfigured naming the file that is missing."""
        credentials = StoreCredentials.load(home / STORE_CREDENTIALS)
        return cls(
            name=home.name, home=home, key=SigningKey(Secret.read(home / "signing-key")), credentials=credentials
        )

    @property
    def sharing_secret(self) -> Secret:
        """See the function of this name."""
        return sharing_secret(self.home)


def sharing_secret(home: Path) -> Secret:
    """The own secret of a hospital's folder: derives its components, draws its validation samples, hashes patients.

    Raises Misconfigured where it is not there.
    """
    return Secret.read(home / _SHARING)


_NEXT_KEY = "signing-key.next"
FORMER_KEYS = "former-keys"


def next_key(home: Path) -> SigningKey:
    """The key that is to follow the actor's present one; made when there is none, kept until `succeed`."""
    if not (home / _NEXT_KEY).exists():
        write_secret(home / _NEXT_KEY, Secret.generate().reveal())
    return SigningKey(Secret.read(home / _NEXT_KEY))


def has_next(home: Path) -> bool:
    """Whether a next key waits in the actor's folder."""
    return (home / _NEXT_KEY).exists()


def succeed(home: Path) -> None:
    """Let the next key, if there is one, take the place of the present one, which stays among the former keys.

    Called again after a crash, it does what is missing.
    """
    if not has_next(home):
        return
    present = Secret.read(home / "signing-key") if is_here(home) else None
    successor = Secret.read(home / _NEXT_KEY)
    if present != successor:
        if present is not None:
            (home / FORMER_KEYS).mkdir(mode=0o700, exist_ok=True)
            write_secret(home / FORMER_KEYS / SigningKey(present).address, present.reveal())
        write_secret(home / "signing-key", successor.reveal())
    (home / _NEXT_KEY).unlink()


def own_key(home: Path, address: Address) -> SigningKey:
    """The actor's key of this address, the present or a former one; raises Misconfigured where neither is it."""
    present = SigningKey(Secret.read(home / "signing-key"))
    former = home / FORMER_KEYS / address
    if present.address == address:
        return present
    if not former.exists():
        raise Misconfigured(
            f"{home.name}: got no key of {address}, want it at {former}; where it is lost, nobody signs for it any"
            f" more: move its folder in {home / 'outbox'} away"
        )
    return SigningKey(Secret.read(former))


def is_here(home: Path) -> bool:
    """Whether the actor of this folder works on this machine: its key lies here."""
    return (home / "signing-key").exists()


def create(home: Path, *, sharing: bool = False) -> SigningKey:
    """Make an actor's folder with a fresh key (and a sharing secret for a hospital); keeps what is there."""
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o700)
    for name in ("signing-key", _SHARING) if sharing else ("signing-key",):
        if not (home / name).exists():
            write_secret(home / name, Secret.generate().reveal())
    return SigningKey(Secret.read(home / "signing-key"))
