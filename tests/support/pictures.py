"""Pictures as devices write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

CANARY = "CANARY-4711"


def png(path: Path, pixels: npt.NDArray[Any], mode: str | None = None) -> Path:
    """A PNG file."""
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, format="PNG")
    return path


def dicom(path: Path, pixels: npt.NDArray[Any], **elements: Any) -> Path:
    """An uncompressed 12-bit DICOM file of a patient whose name must appear nowhere else."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    found.SOPClassUID = SecondaryCaptureImageStorage
    found.PatientName = CANARY
    found.PatientID = CANARY
    found.Rows, found.Columns = pixels.shape[:2]
    found.SamplesPerPixel = 1
    found.PhotometricInterpretation = "MONOCHROME2"
    found.BitsAllocated = 16
    found.BitsStored = 12
    found.HighBit = 11
    found.PixelRepresentation = 0
    found.PixelData = pixels.astype("<u2").tobytes()
    for name, value in elements.items():
        setattr(found, name, value)
    found.save_as(path, enforce_file_format=True)
    return path


def colour_dicom(path: Path, pixels: npt.NDArray[np.uint8], **elements: Any) -> Path:
    """An uncompressed DICOM file of colours (height, width, 3)."""
    eight_bits = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelData": pixels.tobytes()}
    rgb = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    return dicom(path, pixels, **(eight_bits | rgb | elements))


def compressed(path: Path, source: Path, syntax: str) -> Path:
    """The same DICOM file with its pixels in a transfer syntax that `gdcm.TransferSyntax` names."""
    import gdcm

    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return path
