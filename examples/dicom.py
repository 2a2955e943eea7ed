"""DICOM files as scanners and archives write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import numpy.typing as npt
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid


def save(path: Path, pixels: npt.NDArray[Any], kind: UID = SecondaryCaptureImageStorage, **elements: Any) -> Path:
    """Write an uncompressed file of grey pixels (height, width), 16 bits each.

    `elements` stand beside the usual ones, or in their place.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = kind
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID = kind
    file.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    file.Rows, file.Columns = pixels.shape[:2]
    file.SamplesPerPixel = 1
    file.PhotometricInterpretation = "MONOCHROME2"
    file.BitsAllocated = 16
    file.BitsStored = 16
    file.HighBit = 15
    file.PixelRepresentation = int(np.issubdtype(pixels.dtype, np.signedinteger))
    file.PixelData = pixels.astype("<i2" if file.PixelRepresentation else "<u2").tobytes()
    for name, value in elements.items():
        setattr(file, name, value)
    file.save_as(path, enforce_file_format=True)
    return path


def compress(path: Path, source: Path, syntax: str) -> Path:
    """Write the file `source` to `path` in a transfer syntax that `gdcm.TransferSyntax` names."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
    if not reader.Read():
        raise ValueError(f"{source}: GDCM cannot read it")
    change.SetInput(reader.GetImage())
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    if not change.Change():
        raise ValueError(f"{source}: GDCM cannot compress it as {syntax}")
    writer.SetImage(change.GetOutput())
    if not writer.Write():
        raise ValueError(f"{path}: GDCM cannot write it")
    return path
