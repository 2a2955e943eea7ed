"""Slices of computed tomography of lungs: DICOM, compressed without loss, three of a patient, whom only headers name.

In half of the patients a part of a lung is consolidated: as dense as tissue where air should be. Each scanner
compresses its own way and stores its own window, so that the study's has to make one scale of all.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydicom.uid import CTImageStorage

from examples import dicom
from examples.hospitals import Hospital, write_for_all
from pipeline.datasets.images import LABELS

STUDY = "scans"
PATIENTS = 80
SLICES = 3
SIDE = 96
CLASSES = ("clear", "consolidated")
COMPRESSIONS = ("JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless", "RLELossless")
"""As GDCM calls them."""
WINDOWS = ((40, 400), (-600, 1500), (50, 350), None)
"""Centre and width that a scanner stores, if any."""
AIR, FAT, TISSUE, BONE, LUNG = -1000, -100, 45, 500, -830
"""Hounsfield units."""
OUTSIDE = -2000
"""What a scanner stores where it measured nothing."""


def make(hospital: Hospital) -> int:
    """Write slices and labels of a hospital's patients; returns how many slices."""
    rng = hospital.rng
    compression = COMPRESSIONS[hospital.number % len(COMPRESSIONS)]
    window = WINDOWS[hospital.number % len(WINDOWS)]
    rows = []
    for patient in range(PATIENTS):
        label = CLASSES[rng.integers(len(CLASSES))]
        build = rng.uniform(0.9, 1.05, 2)
        for number in range(SLICES):
            file = Path(f"P{patient:03}") / f"IM{number:04}"
            (hospital.folder / file).parent.mkdir(exist_ok=True)
            write(hospital.folder / file, units(label, build, rng), f"MRN-{hospital.name}-{patient:03}", window)
            dicom.compress(hospital.folder / file, hospital.folder / file, compression)
            rows.append({"file": file.as_posix(), "label": label})
    pd.DataFrame(rows).to_csv(hospital.folder / LABELS, index=False)
    return len(rows)


def units(label: str, build: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.int16]:
    """One slice (SIDE, SIDE) in Hounsfield units."""
    down, across = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]

    def ellipse(y: float, x: float, height: float, width: float) -> npt.NDArray[np.bool_]:
        inside: npt.NDArray[np.bool_] = ((down - y) / height) ** 2 + ((across - x) / width) ** 2 < 1
        return inside

    tall, wide = build
    values = np.full((SIDE, SIDE), float(AIR))
    values[ellipse(0, 0, 0.72 * tall, 0.92 * wide)] = FAT
    values[ellipse(0, 0, 0.64 * tall, 0.84 * wide)] = TISSUE
    lungs = np.zeros((SIDE, SIDE), dtype=bool)
    for side in (-1, 1):
        lungs |= ellipse(rng.normal(-0.02, 0.02), 0.42 * side, 0.48 * tall, 0.30 * wide)
    values[lungs] = LUNG
    values[ellipse(0.46 * tall, 0, 0.12, 0.10)] = BONE
    values[lungs & (rng.random((SIDE, SIDE)) < 0.06)] = TISSUE  # vessels
    if label == CLASSES[1]:
        side = rng.choice([-1, 1])
        dense = ellipse(rng.normal(0.2, 0.08), side * rng.normal(0.42, 0.04), rng.uniform(0.12, 0.28), 0.2)
        values[dense & lungs] = rng.normal(-150, 150)
    values = values + rng.normal(0, 35, values.shape)
    values[down**2 + across**2 > 1] = OUTSIDE
    stored: npt.NDArray[np.int16] = np.rint(values).astype(np.int16)
    return stored


def write(path: Path, values: npt.NDArray[np.int16], patient: str, window: tuple[int, int] | None) -> None:
    """A slice with the header that matters here."""
    shown = {"WindowCenter": window[0], "WindowWidth": window[1]} if window else {}
    dicom.save(
        path,
        values + 1024,
        CTImageStorage,
        Modality="CT",
        PatientName=f"Made-up^{patient}",
        PatientID=patient,
        RescaleIntercept=-1024,
        RescaleSlope=1,
        PixelPaddingValue=OUTSIDE + 1024,
        **shown,
    )


if __name__ == "__main__":
    write_for_all(STUDY, "Make slices of computed tomography, in the folders of a demonstration's hospitals.", make)
