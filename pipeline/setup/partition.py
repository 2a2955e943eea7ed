"""Deal a demonstration data set out to hospitals, every record to at most one.

By class, seeded and skewed, or to each its own site's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipeline.datasets import Records
from pipeline.domain import HospitalName
from pipeline.errors import Misconfigured
from pipeline.study.study import Study

TEST_SHARE = 4
"""Each hospital is dealt `partition.per_class` training records of each class at least, and a fourth of that for
testing."""


def deal(study: Study, train: Records, test: Records) -> dict[HospitalName, tuple[Records, Records]]:
    """Each hospital's training and test records.

    Raises Misconfigured when a class cannot fill every hospital's floor.
    """
    if study.partition.by == "site":
        return {name: (_of_site(train, name), _of_site(test, name)) for name in study.hospitals}
    rng = np.random.Generator(np.random.PCG64(study.seed))
    hospitals = study.hospitals
    # One Dirichlet draw per class serves both parts, so that a hospital is tested on patients like those it trains on.
    shares = [rng.dirichlet([study.partition.alpha] * len(hospitals)) for _ in study.source.classes]
    floors = (study.partition.per_class, study.partition.per_class // TEST_SHARE)
    parts = [_rows(records.labels, shares, floor, rng) for records, floor in zip((train, test), floors, strict=True)]
    return {name: (train[parts[0][index]], test[parts[1][index]]) for index, name in enumerate(hospitals)}


def _of_site(records: Records, site: str) -> Records:
    return records[np.flatnonzero(np.char.startswith(records.ids, f"{site}-"))]


def _rows(
    labels: npt.NDArray[np.int64], shares: Sequence[npt.NDArray[np.float64]], floor: int, rng: np.random.Generator
) -> list[npt.NDArray[np.int64]]:
    hospitals = len(shares[0])
    dealt: list[list[npt.NDArray[np.int64]]] = [[] for _ in range(hospitals)]
    for label, share in enumerate(shares):
        rows = rng.permutation(np.flatnonzero(labels == label))
        spare = len(rows) - floor * hospitals
        if spare < 0:
            raise Misconfigured(
                f"partition.per_class: got {floor} records of class {label} for each of {hospitals} hospitals, "
                f"want at most {len(rows) // hospitals}: the data set has {len(rows)}"
            )
        ends = floor * np.arange(1, hospitals) + np.rint(np.cumsum(share)[:-1] * spare).astype(np.int64)
        for hospital_rows, part in zip(dealt, np.split(rows, ends), strict=True):
            hospital_rows.append(part)
    return [rng.permutation(np.concatenate(hospital_rows)) for hospital_rows in dealt]
