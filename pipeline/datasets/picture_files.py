"""One picture as a device or an archive drops it, whatever its name: told by its first bytes."""

from __future__ import annotations

from pathlib import Path

from pipeline.datasets import dicom_files, raster_files
from pipeline.datasets.picture import NoPicture, Picture

KINDS = "PNG, JPEG, TIFF, BMP, WebP or DICOM"
"""What a file may be, for messages."""


def picture(path: Path, bits: int | None = None) -> Picture:
    """Read a file; raises NoPicture.

    `bits` are those of a grey value that the study says to be used in PNG and TIFF files of 16 bits.
    """
    with path.open("rb") as file:
        head = file.read(dicom_files.HEAD)
    if dicom_files.is_dicom(head):
        return dicom_files.read(path)
    if kind := raster_files.kind(head):
        return raster_files.read(path, kind, bits)
    raise NoPicture(f"is no {KINDS} file")
