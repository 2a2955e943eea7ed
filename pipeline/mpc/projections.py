"""Secret random projections of long vectors.

A few hundred short sums that bound the size of a vector that is too long to check.

Every entry of the (PROJECTIONS, length) matrix is -1, 0, 0 or 1, each equally likely, from a seed that is known only
once the vectors are fixed (`pipeline.evidence.randomness`). A projection is linear, so each node projects the
components that it holds, by itself. What the checks on projections prove, and with which probability:
docs/adr/0007-large-models.md.

Source: Achlioptas 2003 (sums of signs instead of Gaussians), Gentry, Halevi and Lyubashevsky 2021 (modulo q, with
zeros).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from pipeline.domain import HospitalName, Sha256
from pipeline.mpc.rule import PROJECTIONS
from pipeline.mpc.spool import Part

_BLOCK = 4096
"""Coordinates per product of matrices: 2^12 halves of 32 bits sum exactly in a float64; the block's matrix takes 16 MB.
"""

_ENTRIES_PER_BYTE = 4


def project(vectors: Sequence[Part], length: int, seed: Sha256) -> npt.NDArray[np.int64]:
    """Projections modulo 2^64 of vectors of `length` words, (vectors, PROJECTIONS) int64."""
    total = np.zeros((PROJECTIONS, len(vectors)), dtype=np.int64)
    for start in range(0, length, _BLOCK):
        size = min(_BLOCK, length - start)
        signs = block(seed, start // _BLOCK)[:, :size]
        words = np.stack([vector[start : start + size] for vector in vectors], axis=1)
        # 64-bit integers have no fast matrix product; their halves, below 2^32, have an exact one
        total += (signs @ (words & 0xFFFFFFFF).astype(np.float64)).astype(np.int64)
        total += (signs @ (words >> 32).astype(np.float64)).astype(np.int64) << 32
    return np.ascontiguousarray(total.T)


def of_components(
    components: Mapping[HospitalName, Mapping[int, Part]], length: int, seed: Sha256
) -> dict[HospitalName, dict[int, npt.NDArray[np.int64]]]:
    """Projections of the first `length` words of every component, (PROJECTIONS,) int64, in its place."""
    places = [(hospital, index) for hospital, parts in components.items() for index in parts]
    rows = project([components[hospital][index] for hospital, index in places], length, seed)
    projected: dict[HospitalName, dict[int, npt.NDArray[np.int64]]] = {hospital: {} for hospital in components}
    for (hospital, index), row in zip(places, rows, strict=True):
        projected[hospital][index] = row
    return projected


def block(seed: Sha256, number: int) -> npt.NDArray[np.float64]:
    """Columns from number * 4096 on of the matrix that `seed` stands for, (PROJECTIONS, 4096) of -1, 0 and 1."""
    # One key per block, so the all-zero nonce is used once under it.
    key = hashlib.blake2b(
        number.to_bytes(8), key=bytes.fromhex(seed), digest_size=32, person=b"wardround-signs"
    ).digest()
    count = PROJECTIONS * _BLOCK // _ENTRIES_PER_BYTE
    stream = Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor().update(bytes(count))
    return _ENTRIES.take(np.frombuffer(stream, np.uint8), axis=0).reshape(PROJECTIONS, _BLOCK)


def _entries() -> npt.NDArray[np.float64]:
    """Byte to its four entries: the sum of two bits, less one."""
    bits = (np.arange(256)[:, None] >> np.arange(8)) & 1
    return (bits[:, 0::2] + bits[:, 1::2] - 1).astype(np.float64)


_ENTRIES = _entries()
