"""A stream that is sealed under a passphrase: libsodium's secretstream under a key of Argon2id, all of it or nothing.

Layout: the magic line, 16 bytes of salt, 24 bytes of libsodium's header, then pieces of 64 KiB, each 17 bytes longer
than what is in it. The last piece says that it is the last, so that a file that was cut off is known for one. All are
bound to what stands before them, and each to its place.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO

from nacl import bindings, pwhash
from nacl.exceptions import CryptoError
from nacl.utils import random

from pipeline.errors import EvidenceRejected, Misconfigured
from pipeline.host.secret import Secret

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

SHORTEST = 12
"""Characters of a passphrase: whoever has the file may try as long as he likes."""

_MAGIC = b"wardround sealed stream 1\n"
_PIECE = 1 << 16
_SALT = pwhash.argon2id.SALTBYTES
_HEADER = bindings.crypto_secretstream_xchacha20poly1305_HEADERBYTES
_OVERHEAD = bindings.crypto_secretstream_xchacha20poly1305_ABYTES
_MORE = bindings.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
_LAST = bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL


class SealingWriter(io.RawIOBase):
    """Seals what is written; the stream is whole once `close` has returned."""

    def __init__(self, file: BinaryIO, passphrase: Secret) -> None:
        salt = random(_SALT)
        self._file = file
        self._state = bindings.crypto_secretstream_xchacha20poly1305_state()
        header = bindings.crypto_secretstream_xchacha20poly1305_init_push(self._state, _key(passphrase, salt))
        self._bound = _MAGIC + salt + header
        self._waiting = bytearray()
        file.write(self._bound)

    def writable(self) -> bool:
        """As a file says it."""
        return True

    def write(self, data: ReadableBuffer) -> int:
        """Take the bytes; they leave in pieces."""
        given = bytes(data)
        self._waiting += given
        # One piece stays: the last one is marked.
        while len(self._waiting) > _PIECE:
            self._push(bytes(self._waiting[:_PIECE]), _MORE)
            del self._waiting[:_PIECE]
        return len(given)

    def close(self) -> None:
        """Write the last piece; the file below stays open."""
        if not self.closed:
            self._push(bytes(self._waiting), _LAST)
        super().close()

    def _push(self, piece: bytes, tag: int) -> None:
        self._file.write(
            bindings.crypto_secretstream_xchacha20poly1305_push(self._state, piece, ad=self._bound, tag=tag)
        )


class OpeningReader(io.RawIOBase):
    """Reads what `SealingWriter` wrote; `what` names the file in messages.

    Raises EvidenceRejected for another kind of file, for another passphrase, and for a damaged or cut file at the piece
    where that shows.
    """

    def __init__(self, file: BinaryIO, passphrase: Secret, what: str) -> None:
        head = file.read(len(_MAGIC) + _SALT + _HEADER)
        if not head.startswith(_MAGIC) or len(head) < len(_MAGIC) + _SALT + _HEADER:
            raise EvidenceRejected(f"{what}: got another kind of file, want one that `wardround backup` wrote")
        salt = head[len(_MAGIC) : len(_MAGIC) + _SALT]
        self._file = file
        self._what = what
        self._bound = head
        self._state = bindings.crypto_secretstream_xchacha20poly1305_state()
        bindings.crypto_secretstream_xchacha20poly1305_init_pull(self._state, head[-_HEADER:], _key(passphrase, salt))
        self._open = b""
        self._begun = False
        self._ended = False

    def readable(self) -> bool:
        """As a file says it."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Give the next bytes; 0 only where the stream ended as it was written."""
        view = memoryview(buffer)
        while not self._open and not self._ended:
            self._pull()
        count = min(len(view), len(self._open))
        view[:count] = self._open[:count]
        self._open = self._open[count:]
        return count

    def _pull(self) -> None:
        sealed = self._file.read(_PIECE + _OVERHEAD)
        try:
            if len(sealed) < _OVERHEAD:
                raise CryptoError
            self._open, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(self._state, sealed, ad=self._bound)
        except CryptoError as error:
            wrong = "a file that is damaged or cut off" if self._begun else "another passphrase, or a damaged file"
            raise EvidenceRejected(
                f"{self._what}: got {wrong}, want the passphrase by which it was made and all of its bytes; nothing of"
                " it was taken"
            ) from error
        self._begun = True
        self._ended = tag == _LAST
        if self._ended and self._file.read(1):
            raise EvidenceRejected(f"{self._what}: got bytes after its end, want the file as it was written")


def refuse_short(passphrase: Secret) -> None:
    """Raise Misconfigured for a passphrase that is soon guessed."""
    if len(passphrase.text()) < SHORTEST:
        raise Misconfigured(f"passphrase: got {len(passphrase.text())} characters, want at least {SHORTEST}")


def _key(passphrase: Secret, salt: bytes) -> bytes:
    """About a second and 256 MiB, so that trying many takes long."""
    return pwhash.argon2id.kdf(
        bindings.crypto_secretstream_xchacha20poly1305_KEYBYTES,
        passphrase.reveal(),
        salt,
        opslimit=pwhash.argon2id.OPSLIMIT_MODERATE,
        memlimit=pwhash.argon2id.MEMLIMIT_MODERATE,
    )
