"""Sealed envelopes: components for one node's key of one round, bound to what they are meant for.

An envelope is a row of libsodium sealed boxes, each of a piece of a component, by index and place: so it opens piece by
piece. A box's plaintext: SHA-256 of the canonical binding (ledger, study, round, previous model, hospital, node,
component indices, length, which component, first word), then the words, little-endian.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from pipeline.domain import Context, HospitalName, NodeName
from pipeline.errors import EnvelopeRejected
from pipeline.evidence.canonical import digest
from pipeline.mpc.sharing import Vector

PIECE = 1 << 19
"""Words of a box at most: 4 MB."""

_BINDING_SIZE = 32
_SEAL_SIZE = 48
"""Bytes that a sealed box adds: ephemeral public key and authentication tag."""


def sealed_size(components: int, length: int) -> int:
    """Bytes of an envelope that carries `components` vectors of `length` words."""
    return components * (len(_starts(length)) * (_SEAL_SIZE + _BINDING_SIZE) + 8 * length)


@dataclass(frozen=True)
class Envelope:
    """What an envelope is meant for: it opens as nothing else."""

    context: Context
    hospital: HospitalName
    node: NodeName
    indices: tuple[int, ...]
    """Components in it."""
    length: int
    """Words of each."""

    @property
    def size(self) -> int:
        """Bytes of the sealed envelope."""
        return sealed_size(len(self.indices), self.length)

    def seal(self, parts: Mapping[int, Vector], key: PublicKey) -> bytes:
        """Seal the components, each (length,), for the node's key."""
        box = SealedBox(key)
        boxes = []
        for index in self.indices:
            for start in _starts(self.length):
                words = parts[index][start : start + PIECE].astype("<i8", copy=False).tobytes()
                boxes.append(box.encrypt(self._binding(index, start) + words))
        return b"".join(boxes)

    def unseal(self, sealed: bytes, key: PrivateKey) -> dict[int, Vector]:
        """All components; raises EnvelopeRejected on another size, key or binding."""
        pieces: dict[int, list[Vector]] = {index: [] for index in self.indices}
        for index, words in self.opened(io.BytesIO(sealed), len(sealed), key):
            pieces[index].append(words)
        return {index: np.concatenate(component_pieces) for index, component_pieces in pieces.items()}

    def opened(self, sealed: BinaryIO, size: int, key: PrivateKey) -> Iterator[tuple[int, Vector]]:
        """Component and words of an envelope of `size` bytes, piece by piece.

        Raises EnvelopeRejected where `unseal` does.
        """
        box = SealedBox(key)
        if size != self.size:
            raise EnvelopeRejected(f"{self.hospital} to {self.node}: got an envelope of {size} bytes, want {self.size}")
        for index in self.indices:
            for start in _starts(self.length):
                try:
                    plaintext = box.decrypt(
                        sealed.read(_SEAL_SIZE + _BINDING_SIZE + 8 * min(PIECE, self.length - start))
                    )
                except CryptoError as error:
                    raise EnvelopeRejected(
                        f"{self.hospital} to {self.node}: got an envelope that this round's key does not open"
                    ) from error
                if plaintext[:_BINDING_SIZE] != self._binding(index, start):
                    raise EnvelopeRejected(
                        f"{self.hospital} to {self.node}: got an envelope bound to another hospital, node, round,"
                        " study, model or ledger"
                    )
                yield index, np.frombuffer(plaintext, "<i8", offset=_BINDING_SIZE).astype(np.int64)

    def _binding(self, index: int, start: int) -> bytes:
        bound_to = {
            "ledger": [self.context.chain_id, self.context.contract],
            "study": self.context.study_digest,
            "round": self.context.round,
            "previous": self.context.previous_model,
            "hospital": self.hospital,
            "node": self.node,
            "components": list(self.indices),
            "length": self.length,
            "component": index,
            "start": start,
        }
        return bytes.fromhex(digest(bound_to))


def _starts(length: int) -> range:
    return range(0, max(length, 1), PIECE)
