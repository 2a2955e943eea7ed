"""Pictures as devices write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from examples.dicom import save

CANARY = "CANARY-4711"


def png(path: Path, pixels: npt.NDArray[Any], mode: str | None = None) -> Path:
    """A PNG file."""
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, format="PNG")
    return path


def dicom(path: Path, pixels: npt.NDArray[Any], **elements: Any) -> Path:
    """An uncompressed 12-bit DICOM file of a patient whose name must appear nowhere else."""
    twelve_bits = {"BitsStored": 12, "HighBit": 11}
    whose = {"PatientName": CANARY, "PatientID": CANARY}
    return save(path, pixels.astype(np.uint16), **(twelve_bits | whose | elements))


def colour_dicom(path: Path, pixels: npt.NDArray[np.uint8], **elements: Any) -> Path:
    """An uncompressed DICOM file of colours (height, width, 3)."""
    eight_bits = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelData": pixels.tobytes()}
    rgb = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    return dicom(path, pixels, **(eight_bits | rgb | elements))
