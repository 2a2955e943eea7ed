"""Replicated secret sharing of a vector over Z_2^64.

N components that sum to it, node i gets every component but the i-th.

Source: Araki et al. 2016 (n = 3), Dalskov et al. 2021 (n = 4), both for one corrupt node.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from pipeline.domain import Context, Sha256
from pipeline.evidence.canonical import canonical_json, sha256
from pipeline.host.secret import Secret

Vector = npt.NDArray[np.int64]


def share(payload: Vector, nodes: int, secret: Secret, context: Context) -> tuple[Vector, ...]:
    """Split (length,) int64 into `nodes` components under the hospital's own secret.

    A rerun gives the same components.
    """
    bound_to = canonical_json(
        {
            "study": context.study_digest,
            "round": context.round,
            "previous": context.previous_model,
            "payload": sha256(payload.tobytes()),
        }
    )
    masks = [_stream(secret, bound_to + index.to_bytes(1), len(payload)) for index in range(1, nodes)]
    first = payload.copy()
    for mask in masks:
        first -= mask
    return (first, *masks)


def held_by(node: int, nodes: int) -> tuple[int, ...]:
    """Indices of the components that node `node` of `nodes` holds: every one but its own."""
    return tuple(index for index in range(nodes) if index != node)


def component_digest(component: Vector) -> Sha256:
    """SHA-256 of a component's little-endian words."""
    return sha256(component.astype("<i8", copy=False).tobytes())


class Digested:
    """Hands on the pieces of a component, and knows `component_digest` of all that went through."""

    def __init__(self, pieces: Iterable[Vector]) -> None:
        self._pieces = pieces
        self._hash = hashlib.sha256()

    def __iter__(self) -> Iterator[Vector]:
        for words in self._pieces:
            self._hash.update(words.astype("<i8", copy=False).tobytes())
            yield words

    @property
    def digest(self) -> Sha256:
        """SHA-256 so far."""
        return Sha256(self._hash.hexdigest())


def _stream(secret: Secret, bound_to: bytes, words: int) -> Vector:
    # One key per component, so the all-zero nonce is used once under it.
    key = hashlib.blake2b(bound_to, key=secret.reveal(), digest_size=32, person=b"wardround-share").digest()
    keystream = Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor().update(bytes(8 * words))
    return np.frombuffer(keystream, "<i8").astype(np.int64)
