"""One picture as a device drops it, PNG or DICOM, as 8-bit grey pixels.

Of a DICOM file nothing is read but what its pixels need.
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pydicom import Dataset

_PNG = b"\x89PNG\r\n\x1a\n"
_DICOM_PREAMBLE = 128

# No name, no birth date, no number of a patient: those elements are not even read.
_PIXEL_TAGS = (
    *(
        "SamplesPerPixel",
        "PhotometricInterpretation",
        "NumberOfFrames",
        "Rows",
        "Columns",
        "BitsAllocated",
        "BitsStored",
        "HighBit",
    ),
    *(
        "PixelRepresentation",
        "PlanarConfiguration",
        "PixelData",
        "RescaleSlope",
        "RescaleIntercept",
        "ModalityLUTSequence",
    ),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence", "PixelPaddingValue"),
)

Pixels = npt.NDArray[np.uint8]


class NoPicture(Exception):
    """A file that is no picture for us; the message says what it has to be, and nothing of what it holds."""


@dataclass(frozen=True)
class Picture:
    """Grey pixels (height, width) uint8, and how many channels and frames the file has."""

    pixels: Pixels
    channels: int
    frames: int

    def fitted(self, height: int, width: int) -> Pixels:
        """The middle of the picture in the wanted proportions, each pixel the mean of those that it covers."""
        from PIL import Image

        have_height, have_width = self.pixels.shape
        # The largest part of these proportions, in whole pixels.
        part_width = min(have_width, have_height * width // height) or 1
        part_height = min(have_height, have_width * height // width) or 1
        left = (have_width - part_width) // 2
        top = (have_height - part_height) // 2
        image = Image.fromarray(self.pixels).crop((left, top, left + part_width, top + part_height))
        return np.asarray(image.resize((width, height), Image.Resampling.BOX), dtype=np.uint8)


def picture(path: Path) -> Picture:
    """Read a file by its first bytes, whatever its name; raises NoPicture."""
    with path.open("rb") as file:
        head = file.read(_DICOM_PREAMBLE + 4)
    if head.startswith(_PNG):
        return _png(path)
    if head[_DICOM_PREAMBLE:] == b"DICM":
        return _dicom(path)
    raise NoPicture("is neither a PNG nor a DICOM file")


def _png(path: Path) -> Picture:
    from PIL import Image

    try:
        with Image.open(path, formats=["PNG"]) as image:
            channels = len(image.getbands())
            frames = int(getattr(image, "n_frames", 1))
            if image.mode.startswith("I"):  # 16 bits of grey
                return Picture(
                    (np.asarray(image, dtype=np.int64).clip(0, 65535) // 257).astype(np.uint8), channels, frames
                )
            return Picture(np.asarray(image.convert("L"), dtype=np.uint8), channels, frames)
    except Exception:  # Pillow raises what it likes on a damaged file
        raise NoPicture("is a damaged or too large PNG file") from None


def _dicom(path: Path) -> Picture:
    import pydicom

    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)  # it warns of a wrong element by quoting it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dicom = pydicom.dcmread(path, specific_tags=list(_PIXEL_TAGS))
            channels = int(dicom.get("SamplesPerPixel", 1))
            frames = int(dicom.get("NumberOfFrames", 1) or 1)
            stored = dicom.pixel_array
    except RuntimeError:  # no decoder for it
        raise NoPicture("is a DICOM file whose compression this machine cannot read; export it uncompressed") from None
    except Exception:  # pydicom raises what it likes on a damaged file, and quotes elements
        raise NoPicture("is a damaged DICOM file or one without pixels") from None
    if channels > 1 or frames > 1:
        # The contract refuses it by these two numbers; the pixels only have to be some.
        return Picture(np.zeros((int(dicom.Rows), int(dicom.Columns)), np.uint8), channels, frames)
    return Picture(_shown(stored, dicom), channels, frames)


def _shown(stored: npt.NDArray[Any], header: Dataset) -> Pixels:
    """Grey as the device would show it.

    Through its own window where it names one, else from its darkest to its brightest value.
    """
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    try:
        values = apply_voi_lut(apply_modality_lut(stored, header), header, index=0).astype(np.float64)
    except Exception:  # as above: the tables come from the file
        raise NoPicture("is a DICOM file with a window or table of grey levels that does not fit its pixels") from None
    lowest = float(values.min())
    highest = float(values.max())
    grey = np.zeros(values.shape) if highest == lowest else (values - lowest) / (highest - lowest) * 255
    if header.get("PhotometricInterpretation") == "MONOCHROME1":  # zero is white
        grey = 255 - grey
    return np.rint(grey).astype(np.uint8)
