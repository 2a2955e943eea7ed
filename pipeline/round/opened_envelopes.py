"""What a node opened of a round's envelopes, kept until the round ends.

Each is read once, and what becomes of it then changes nothing.

A component lies in a file of its own, encrypted piece by piece (XChaCha20-Poly1305). Every piece is bound to its
manifest, component, place and length: no other fits there. The key is made for the round, is not its sealing key, lies
elsewhere, and is destroyed with it.

What that is worth: these files alone say nothing, neither on a disk of their own, nor in a copy, nor undeleted after
the round. Whoever reads all of the node's folder while the round runs reads the components, as he does by the sealing
key and the node's account at the store.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from nacl.exceptions import CryptoError
from nacl.secret import Aead

from pipeline.domain import Sha256
from pipeline.errors import EvidenceRejected, Unavailable
from pipeline.host.files import replacing
from pipeline.host.secret import Secret
from pipeline.mpc.sharing import Digested, Vector

_PIECE = 1 << 12
"""Words that are encrypted at once, 32 KB: what a projection reads at a time (`pipeline.mpc.projections`)."""

_OVERHEAD = Aead.NONCE_SIZE + Aead.MACBYTES


@dataclass(frozen=True)
class KeptComponent:
    """A component in its encrypted file.

    Reading raises Unavailable when the disk gives other bytes than were written.
    """

    path: Path
    key: Secret
    length: int

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, piece: slice, /) -> Vector:
        first, last, _ = piece.indices(self.length)
        start = first // _PIECE
        words = [np.empty(0, np.int64), *self.pieces(start, -(-last // _PIECE))]
        return np.concatenate(words)[first - start * _PIECE : max(first, last) - start * _PIECE]

    def pieces(self, start: int, stop: int) -> Iterator[Vector]:
        """The pieces with these numbers, decrypted."""
        box = Aead(self.key.reveal())
        with self.path.open("rb") as file:
            for number in range(start, stop):
                try:
                    file.seek(number * (_OVERHEAD + 8 * _PIECE))
                    sealed = file.read(_OVERHEAD + 8 * min(_PIECE, self.length - number * _PIECE))
                    words = box.decrypt(sealed, self.bound(number))
                except (OSError, CryptoError) as error:
                    raise Unavailable(
                        f"{self.path}: got other bytes than this node wrote, or none: its disk or memory is damaged; "
                        "try again: what is damaged is taken from the envelope anew"
                    ) from error
                yield np.frombuffer(words, "<i8").astype(np.int64)

    def bound(self, number: int) -> bytes:
        """What the piece with this number is bound to, beside the round's key."""
        return f"{self.path.name} {self.length} {number}".encode()

    @property
    def whole(self) -> bool:
        """Whether all of it is there as it was written."""
        try:
            for _ in self.pieces(0, -(-self.length // _PIECE)):
                pass
        except (FileNotFoundError, Unavailable):
            return False
        return True


@dataclass(frozen=True)
class OpenedEnvelopes:
    """A round's components in the node's private `folder`, under the round's `key`."""

    folder: Path
    key: Secret

    def put(self, manifest: Sha256, index: int, length: int, pieces: Iterable[Vector], digest: Sha256) -> KeptComponent:
        """Take a manifest's component of `length` words piece by piece, all of it or nothing.

        Raises EvidenceRejected on another digest.
        """
        component = self._component(manifest, index, length)
        read = Digested(pieces)
        box = Aead(self.key.reveal())
        with replacing(component.path, mode=0o600) as file:
            for number, words in enumerate(_cut(read)):
                file.write(box.encrypt(words.astype("<i8", copy=False).tobytes(), component.bound(number)))
            if read.digest != digest:
                raise EvidenceRejected(
                    f"component {index}: got {read.digest[:16]}, want {digest[:16]} of manifest {manifest[:16]}"
                )
        return component

    def get(self, manifest: Sha256, index: int, length: int) -> KeptComponent | None:
        """What was put here before; None when it is not here or not as it was."""
        component = self._component(manifest, index, length)
        return component if component.whole else None

    def scratch(self) -> AbstractContextManager[BinaryIO]:
        """An empty unnamed file until the end of the block, for a sealed envelope."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=self.folder)

    def _component(self, manifest: Sha256, index: int, length: int) -> KeptComponent:
        return KeptComponent(self.folder / f"{manifest}-{index}", self.key, length)


def _cut(pieces: Iterable[Vector]) -> Iterator[Vector]:
    """The same words in pieces of `_PIECE`, the last one shorter."""
    rest = np.empty(0, np.int64)
    for words in pieces:
        joined = np.concatenate([rest, words])
        full = len(joined) - len(joined) % _PIECE
        yield from (joined[start : start + _PIECE] for start in range(0, full, _PIECE))
        rest = joined[full:]
    if len(rest):
        yield rest
