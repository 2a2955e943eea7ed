"""Sealed envelopes: components for one node's key of one round, bound to what they are meant for.

An envelope is a row of libsodium sealed boxes, each of a piece of a component, by index and place: so it opens piece by piece.
A box's plaintext: SHA-256 of the canonical binding (ledger, study, round, previous model, hospital, node, component indices, length, which
component, first word), then the words, little-endian.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
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


def seal(parts: Mapping[int, Vector], context: Context, hospital: HospitalName, node: NodeName, key: PublicKey) -> bytes:
    """Seal one hospital's components for one node."""
    indices, box = tuple(sorted(parts)), SealedBox(key)
    length = len(parts[indices[0]])
    boxes = []
    for index in indices:
        for start in _starts(length):
            words = parts[index][start : start + PIECE].astype("<i8", copy=False).tobytes()
            boxes.append(box.encrypt(_binding(context, hospital, node, indices, length, index, start) + words))
    return b"".join(boxes)


def unseal(
    sealed: bytes,
    indices: tuple[int, ...],
    length: int,
    context: Context,
    hospital: HospitalName,
    node: NodeName,
    key: PrivateKey,
) -> dict[int, Vector]:
    """Open an envelope meant for `node`; raises EnvelopeRejected on another size, key or binding."""
    pieces: dict[int, list[Vector]] = {index: [] for index in indices}
    for index, words in opened(io.BytesIO(sealed), len(sealed), indices, length, context, hospital, node, key):
        pieces[index].append(words)
    return {index: np.concatenate(found) for index, found in pieces.items()}


def opened(
    sealed: BinaryIO,
    size: int,
    indices: tuple[int, ...],
    length: int,
    context: Context,
    hospital: HospitalName,
    node: NodeName,
    key: PrivateKey,
) -> Iterator[tuple[int, Vector]]:
    """Open an envelope of `size` bytes piece by piece: component and words; raises EnvelopeRejected where `unseal` does."""
    want, box = sealed_size(len(indices), length), SealedBox(key)
    if size != want:
        raise EnvelopeRejected(f"{hospital} to {node}: got an envelope of {size} bytes, want {want}")
    for index in indices:
        for start in _starts(length):
            try:
                plaintext = box.decrypt(sealed.read(_SEAL_SIZE + _BINDING_SIZE + 8 * min(PIECE, length - start)))
            except CryptoError as error:
                raise EnvelopeRejected(f"{hospital} to {node}: got an envelope that this round's key does not open") from error
            if plaintext[:_BINDING_SIZE] != _binding(context, hospital, node, indices, length, index, start):
                raise EnvelopeRejected(
                    f"{hospital} to {node}: got an envelope bound to another hospital, node, round, study, model or ledger"
                )
            yield index, np.frombuffer(plaintext, "<i8", offset=_BINDING_SIZE).astype(np.int64)


def _starts(length: int) -> range:
    return range(0, max(length, 1), PIECE)


def _binding(
    context: Context, hospital: HospitalName, node: NodeName, indices: tuple[int, ...], length: int, index: int, start: int
) -> bytes:
    bound_to = {
        "ledger": [context.chain_id, context.contract],
        "study": context.study_digest,
        "round": context.round,
        "previous": context.previous_model,
        "hospital": hospital,
        "node": node,
        "components": list(indices),
        "length": length,
        "component": index,
        "start": start,
    }
    return bytes.fromhex(digest(bound_to))
