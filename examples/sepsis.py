"""Four measurements of patients of whom some become septic, as a table: what *Bring your own data* learns from.

A septic patient has more lactate, a faster heart, and is a little older. Lactate lies between 1 and 4 nearly always,
in a range of 0 to 30. Some heart rates were never measured.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from examples.hospitals import Hospital, write_for_all
from pipeline.datasets.base import RECORDS

STUDY = "sepsis"
PATIENTS = 240


def make(hospital: Hospital) -> int:
    """Write a hospital's table; returns how many records it holds."""
    patients(PATIENTS, hospital.rng).to_csv(hospital.folder / RECORDS, index=False)
    return PATIENTS


def patients(count: int, rng: np.random.Generator) -> pd.DataFrame:
    """So many records."""
    septic = rng.random(count) < 0.4
    rate = np.clip(rng.normal(np.where(septic, 103, 85), 16), 35, 200).round()
    return pd.DataFrame(
        {
            "record_id": [f"p{row}" for row in range(count)],
            "age": np.clip(rng.normal(np.where(septic, 68, 60), 15), 18, 100).round(),
            "lactate": np.clip(rng.lognormal(np.log(np.where(septic, 2.6, 1.4)), 0.38), 0.4, 20).round(1),
            "heart_rate": np.where(rng.random(count) < 0.08, np.nan, rate),
            "sex": rng.integers(0, 2, count),
            "label": np.where(septic, "septic", "recovered"),
        }
    )


if __name__ == "__main__":
    write_for_all(STUDY, "Make tables of septic and other patients, for a demonstration's hospitals.", make)
