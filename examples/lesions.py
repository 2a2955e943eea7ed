"""Photographs of skin lesions: JPEG in colour, of several sizes, three classes, one to three of a patient.

A naevus is round and evenly brown. A melanoma is dark, of several colours, with a ragged border. A keratosis is
tan, rough and sharply bordered. Light and skin differ from picture to picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from examples.hospitals import Hospital, write_for_all
from pipeline.datasets.images import LABELS

STUDY = "lesions"
PATIENTS = 120
SIZES = ((96, 72), (80, 80), (64, 96))
"""Width and height of what cameras write."""

Plane = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Lesion:
    """How one kind looks: colours in levels of red, green and blue, lengths as a share of the picture's height."""

    colour: tuple[int, int, int]
    second: tuple[int, int, int]
    """The colour of its patches."""
    patches: float
    """How much of it they cover, from 0 to 1."""
    radius: float
    ragged: float
    rough: float
    """Deviation of its texture, in levels."""


LESIONS: Mapping[str, Lesion] = {
    "naevus": Lesion((140, 95, 70), (125, 85, 62), 0.3, 0.24, 0.04, 4),
    "melanoma": Lesion((75, 50, 45), (70, 75, 100), 0.45, 0.33, 0.18, 8),
    "keratosis": Lesion((175, 140, 85), (150, 112, 62), 0.5, 0.30, 0.08, 16),
}


def make(hospital: Hospital) -> int:
    """Write pictures and labels of a hospital's patients; returns how many pictures."""
    rng = hospital.rng
    rows = []
    for patient in range(PATIENTS):
        label = str(rng.choice(list(LESIONS)))
        for shot in range(rng.integers(1, 4)):
            file = f"{patient:03}-{shot}.jpg"
            width, height = SIZES[rng.integers(len(SIZES))]
            pixels = photograph(LESIONS[label], width, height, rng)
            Image.fromarray(pixels).save(hospital.folder / file, quality=88)
            rows.append({"file": file, "patient": f"MRN-{hospital.name}-{patient:03}", "label": label})
    pd.DataFrame(rows).to_csv(hospital.folder / LABELS, index=False)
    return len(rows)


def photograph(kind: Lesion, width: int, height: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Pixels (height, width, 3) of one lesion on skin."""
    light = rng.normal(1, 0.08)
    skin = np.array([212, 170, 146]) * rng.normal(1, 0.05, 3) + rng.normal(0, 12)
    rows, columns = np.mgrid[:height, :width]
    across = (columns - width / 2 - rng.normal(0, 0.05 * width)) / height
    down = (rows - height / 2 - rng.normal(0, 0.05 * height)) / height
    angle = np.arctan2(down, across)
    border = sum(np.cos(wave * angle + rng.uniform(0, 2 * np.pi)) * rng.normal(0, 1 / wave) for wave in range(2, 7))
    radius = kind.radius * rng.normal(1, 0.15) * (1 + kind.ragged * border)
    inside = 1 / (1 + np.exp(np.clip((np.hypot(across, down) - radius) * 60, -50, 50)))
    patch = smooth(rng.normal(size=(height, width)), 6) > np.quantile(rng.normal(size=1000), 1 - kind.patches)
    lesion = np.where(patch[..., None], kind.second, kind.colour) * rng.normal(1, 0.08)
    lesion = lesion + rng.normal(0, kind.rough, (height, width, 1))
    picture = skin + (lesion - skin) * inside[..., None]
    picture = picture * light + rng.normal(0, 4, picture.shape)
    levels: npt.NDArray[np.uint8] = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return levels


def smooth(values: Plane, steps: int) -> Plane:
    """The plane, each value the mean of its neighbours so many times over, with a deviation of 1."""
    for _ in range(steps):
        values = np.mean([np.roll(values, shift, axis) for shift in (-1, 0, 1) for axis in (0, 1)], axis=0)
    return values / float(values.std())


if __name__ == "__main__":
    write_for_all(STUDY, "Make photographs of skin lesions, in the folders of a demonstration's hospitals.", make)
