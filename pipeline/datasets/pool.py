"""A hospital's private validation pool: records that it never trains on, and the fresh draw of each round.

Both come from HMAC-SHA256 under the hospital's own secret, so that nobody else can foresee which records judge a model.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter, defaultdict

import numpy as np
import numpy.typing as npt

from pipeline.datasets.base import Samples
from pipeline.datasets.patients import groups
from pipeline.domain import HospitalName, RoundId, Sha256
from pipeline.errors import DataRejected
from pipeline.host.secret import Secret

POOL_SHARE = 3
"""One record of so many, of each class, goes to the pool, as far as patients stay whole."""

Rows = npt.NDArray[np.int64]


def split(samples: Samples, secret: Secret) -> tuple[Rows, Rows]:
    """Rows to train on and rows of the pool, (m,) int64 each, ascending; the same for equal records and secret.

    A patient's records are all in one of them. The pool then has at most its share of each class, and of each class
    with two patients somebody.
    """
    order = _in_order(samples, secret)
    share = np.bincount(samples.labels) // POOL_SHARE
    taken = np.zeros_like(share)
    pool: list[int] = []

    def take(rows: list[int]) -> None:
        pool.extend(rows)
        np.add.at(taken, samples.labels[rows], 1)

    for rows in order:
        if (taken + np.bincount(samples.labels[rows], minlength=len(share)) <= share).all():
            take(rows)
    for label in np.flatnonzero((share > 0) & (taken == 0)):
        patients = [rows for rows in order if label in samples.labels[rows]]
        if len(patients) > 1:
            take(min(patients, key=len))
    chosen = np.zeros(len(samples), dtype=bool)
    chosen[pool] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def draw(
    pool: Samples, count: int, secret: Secret, study_digest: Sha256, round_id: RoundId, hospital: HospitalName
) -> Samples:
    """`count` samples, equally many of each class in the pool; raises DataRejected when the pool is empty.

    Of each patient one comes before a second of anybody. A class with fewer records than its part repeats them: its
    owner's counts get coarser, and the rule takes the middle of all owners'.
    """
    if not len(pool):
        raise DataRejected(
            hospital, (f"validation pool: got no record, want at least {POOL_SHARE} records of some class",)
        )
    keys = _keys(pool, secret, f"draw {study_digest} {round_id}".encode())
    turns = _turns(pool, keys)
    classes = [
        sorted(np.flatnonzero(pool.labels == label).tolist(), key=lambda row: (turns[row], keys[row]))
        for label in np.unique(pool.labels)
    ]
    rows = [
        members[index // len(classes) % len(members)]
        for index in range(count)
        for members in [classes[index % len(classes)]]
    ]
    return pool[np.array(sorted(rows, key=lambda row: keys[row]), dtype=np.int64)]


def _in_order(samples: Samples, secret: Secret) -> list[list[int]]:
    """The rows of each patient, in an order that only the hospital can foresee.

    A patient's further records do not change their place in it.
    """
    patients = samples.patients
    if patients is None:
        return [[row] for _, row in sorted(_keys(samples, secret, b"pool"))]
    key = _key(secret, b"pool")
    return sorted(_by_patient(samples), key=lambda rows: hmac.digest(key, bytes(patients[rows[0]]), hashlib.sha256))


def _by_patient(samples: Samples) -> list[list[int]]:
    """The rows of each patient."""
    rows_of: dict[int, list[int]] = defaultdict(list)
    for row, patient in enumerate(groups(samples.patients, len(samples)).tolist()):
        rows_of[patient].append(row)
    return list(rows_of.values())


def _turns(pool: Samples, keys: list[tuple[bytes, int]]) -> list[int]:
    """For each row, how many of its patient's of its class come before it."""
    turns = [0] * len(pool)
    for rows in _by_patient(pool):
        before: Counter[int] = Counter()
        for row in sorted(rows, key=keys.__getitem__):
            turns[row] = before[pool.labels[row]]
            before[pool.labels[row]] += 1
    return turns


def _keys(samples: Samples, secret: Secret, purpose: bytes) -> list[tuple[bytes, int]]:
    """One sort key per record, from its content and not from its place; equal records are told apart by their place."""
    key = _key(secret, purpose)
    return [
        (hmac.digest(key, int(label).to_bytes(4, "big") + inputs.astype("<i2").tobytes(), hashlib.sha256), row)
        for row, (inputs, label) in enumerate(zip(samples.inputs, samples.labels, strict=True))
    ]


def _key(secret: Secret, purpose: bytes) -> bytes:
    return hmac.digest(secret.reveal(), b"wardround validation pool v1 " + purpose, hashlib.sha256)
