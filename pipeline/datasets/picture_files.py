"""One picture as a device or an archive drops it, whatever its name: told by its first bytes."""

from __future__ import annotations

from pathlib import Path

from pipeline.datasets import dicom_files, raster_files
from pipeline.datasets.picture import NoPicture, Picture, Window

KINDS = "PNG, JPEG, TIFF, BMP, WebP or DICOM"
"""What a file may be, for messages."""


def picture(path: Path, bits: int | None = None, window: Window | None = None) -> Picture:
    """Read a file; raises NoPicture.

    `bits` are those of a grey value that the study says to be used in PNG and TIFF files of 16 bits. `window` is the
    study's for DICOM files, and lets no others in.
    """
    with path.open("rb") as file:
        head = file.read(dicom_files.HEAD)
    if dicom_files.is_dicom(head):
        return dicom_files.read(path, window)
    if kind := raster_files.kind(head):
        if window:
            raise NoPicture(f"is a {kind} file, and the study's `window` counts in values that only DICOM files have")
        return raster_files.read(path, kind, bits)
    raise NoPicture(f"is no {KINDS} file")
