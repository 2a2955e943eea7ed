"""Secret bytes and texts that never print."""

from __future__ import annotations

import base64
import hmac
import secrets
from pathlib import Path

from pipeline.errors import Misconfigured


class Secret:
    """Bytes whose repr, str and format show nothing; `reveal()` is the one way to them."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    @classmethod
    def generate(cls, size: int = 32) -> Secret:
        """`size` bytes from the operating system."""
        return cls(secrets.token_bytes(size))

    @classmethod
    def read(cls, path: Path) -> Secret:
        """Read a secret file; raises Misconfigured when it is missing or readable by others."""
        try:
            mode = path.stat().st_mode
        except FileNotFoundError as error:
            raise Misconfigured(
                f"{path}: got no file, want a secret; run `wardround up` to create the installation"
            ) from error
        if mode & 0o077:
            raise Misconfigured(f"{path}: got mode {mode & 0o777:o}, want 600; run `chmod 600` on it")
        return cls(path.read_bytes())

    def reveal(self) -> bytes:
        """The bytes themselves."""
        return self._value

    def text(self) -> str:
        """The bytes as UTF-8 text."""
        return self._value.decode()

    def token(self) -> str:
        """The bytes as URL-safe base64, for passwords and tokens."""
        return base64.urlsafe_b64encode(self._value).decode()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return "Secret(***)"
