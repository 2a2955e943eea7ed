"""Sealed envelopes: components for one node's key of one round, bound to what they are meant for.

Plaintext: SHA-256 of the canonical binding (ledger, study, round, previous model, hospital, node, component indices, length), then
the components as little-endian words in the order of their indices. Sealed as a libsodium sealed box.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from pipeline.domain import Context, HospitalName, NodeName
from pipeline.errors import EnvelopeRejected
from pipeline.evidence.canonical import digest
from pipeline.mpc.sharing import Vector

_BINDING_SIZE = 32
_SEAL_SIZE = 48
"""Bytes that a sealed box adds: ephemeral public key and authentication tag."""


def sealed_size(components: int, length: int) -> int:
    """Bytes of an envelope that carries `components` vectors of `length` words."""
    return _SEAL_SIZE + _BINDING_SIZE + 8 * components * length


def seal(parts: Mapping[int, Vector], context: Context, hospital: HospitalName, node: NodeName, key: PublicKey) -> bytes:
    """Seal one hospital's components for one node."""
    indices = tuple(sorted(parts))
    plaintext = _binding(context, hospital, node, indices, len(parts[indices[0]]))
    plaintext += b"".join(parts[index].astype("<i8", copy=False).tobytes() for index in indices)
    return SealedBox(key).encrypt(plaintext)


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
    want = sealed_size(len(indices), length)
    if len(sealed) != want:
        raise EnvelopeRejected(f"{hospital} to {node}: got an envelope of {len(sealed)} bytes, want {want}")
    try:
        plaintext = SealedBox(key).decrypt(sealed)
    except CryptoError as error:
        raise EnvelopeRejected(f"{hospital} to {node}: got an envelope that this round's key does not open") from error
    if plaintext[:_BINDING_SIZE] != _binding(context, hospital, node, indices, length):
        raise EnvelopeRejected(f"{hospital} to {node}: got an envelope bound to another hospital, node, round, study, model or ledger")
    words = np.frombuffer(plaintext, "<i8", offset=_BINDING_SIZE).astype(np.int64).reshape(len(indices), length)
    return dict(zip(indices, words, strict=True))


def _binding(context: Context, hospital: HospitalName, node: NodeName, indices: tuple[int, ...], length: int) -> bytes:
    bound_to = {
        "ledger": [context.chain_id, context.contract],
        "study": context.study_digest,
        "round": context.round,
        "previous": context.previous_model,
        "hospital": hospital,
        "node": node,
        "components": list(indices),
        "length": length,
    }
    return bytes.fromhex(digest(bound_to))
