"""Files like the publisher's of heart disease.

Four hospitals, each with its own share of the ill and its own unmeasured columns.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

HOSPITALS = {
    # file: patients, ill, columns that it leaves empty for most, columns in which a zero stands for empty
    "processed.cleveland.data": (303, 139, (), ()),
    "processed.hungarian.data": (294, 106, (10, 11, 12), ()),
    "processed.switzerland.data": (123, 115, (5, 11, 12), (4,)),
    "processed.va.data": (200, 149, (10, 11, 12), ()),
}
_MEANS = np.array([54, 0.7, 3.2, 132, 245, 0.15, 0.6, 138, 0.4, 0.9, 1.8, 0.7, 5])
_DEVIATIONS = np.array([9, 0.46, 0.95, 18, 55, 0.36, 0.8, 26, 0.49, 1.1, 0.6, 0.95, 1.95])
_SIGNS = np.array([0.4, 0.4, 0.8, 0.2, 0.1, 0.2, 0.2, -0.8, 0.8, 0.8, 0.6, 0.9, 0.9])
_CODES = {
    1: (0, 1),
    2: (1, 2, 3, 4),
    5: (0, 1),
    6: (0, 1, 2),
    8: (0, 1),
    10: (1, 2, 3),
    11: (0, 1, 2, 3),
    12: (3, 6, 7),
}


def publish(folder: Path, seed: int = 0) -> Path:
    """Write the four files under `folder`; the folder, as WARDROUND_DATA names it."""
    rng = np.random.default_rng(seed)
    (folder / "heart-disease").mkdir(parents=True)
    for file, (patients, ill, unmeasured, zeros) in HOSPITALS.items():
        labels = rng.permutation(np.arange(patients) < ill)
        scores = rng.normal(size=(patients, 13)) + np.where(labels[:, None], _SIGNS, -_SIGNS)
        numbers = np.rint(_MEANS + scores * _DEVIATIONS)
        for column, codes in _CODES.items():
            distance = np.abs(np.subtract.outer(_MEANS[column] + scores[:, column] * _DEVIATIONS[column], codes))
            numbers[:, column] = np.take(codes, distance.argmin(axis=1))
        numbers[:, 9] = np.clip(numbers[:, 9], -2, 6)
        rows = [[f"{value:g}" for value in row] for row in numbers]
        for row in rows:
            for column in unmeasured:
                row[column] = "?" if rng.random() < 0.95 else row[column]
            for column in zeros:
                row[column] = "0"
        lines = [
            ",".join([*row, str(rng.integers(1, 5) if label else 0)]) for row, label in zip(rows, labels, strict=True)
        ]
        (folder / "heart-disease" / file).write_text("\n".join(lines) + "\n")
    return folder
