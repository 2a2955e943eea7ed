"""A hospital's private validation pool: records that it never trains on, and the fresh draw of each round.

Both come from HMAC-SHA256 under the hospital's own secret, so that nobody else can foresee which records judge a model.
"""

from __future__ import annotations

import hashlib
import hmac

import numpy as np
import numpy.typing as npt

from pipeline.datasets.base import Samples
from pipeline.domain import HospitalName, RoundId, Sha256
from pipeline.errors import DataRejected
from pipeline.host.secret import Secret

POOL_SHARE = 3
"""One record of so many, of each class, goes to the pool."""

Rows = npt.NDArray[np.int64]


def split(samples: Samples, secret: Secret) -> tuple[Rows, Rows]:
    """Rows to train on and rows of the pool, (m,) int64 each, ascending; the same for equal records and secret."""
    keys = _keys(samples, secret, b"pool")
    pool: list[int] = []
    for label in np.unique(samples.labels):
        members = sorted(np.flatnonzero(samples.labels == label).tolist(), key=lambda row: keys[row])
        pool += members[: len(members) // POOL_SHARE]
    chosen = np.zeros(len(samples), dtype=bool)
    chosen[pool] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def draw(
    pool: Samples, count: int, secret: Secret, study_digest: Sha256, round_id: RoundId, hospital: HospitalName
) -> Samples:
    """`count` samples, equally many of each class in the pool; raises DataRejected when the pool is empty.

    A class with fewer records than its part repeats them: its owner's counts get coarser, and the rule takes the middle
    of all owners'.
    """
    if not len(pool):
        raise DataRejected(
            hospital, (f"validation pool: got no record, want at least {POOL_SHARE} records of some class",)
        )
    keys = _keys(pool, secret, f"draw {study_digest} {round_id}".encode())
    classes = [
        sorted(np.flatnonzero(pool.labels == label).tolist(), key=lambda row: keys[row])
        for label in np.unique(pool.labels)
    ]
    rows = [
        members[index // len(classes) % len(members)]
        for index in range(count)
        for members in [classes[index % len(classes)]]
    ]
    return pool[np.array(sorted(rows, key=lambda row: keys[row]), dtype=np.int64)]


def _keys(samples: Samples, secret: Secret, purpose: bytes) -> list[tuple[bytes, int]]:
    """One sort key per record, from its content and not from its place; equal records are told apart by their place."""
    key = hmac.digest(secret.reveal(), b"wardround validation pool v1 " + purpose, hashlib.sha256)
    return [
        (hmac.digest(key, int(label).to_bytes(4, "big") + inputs.astype("<i2").tobytes(), hashlib.sha256), row)
        for row, (inputs, label) in enumerate(zip(samples.inputs, samples.labels, strict=True))
    ]
