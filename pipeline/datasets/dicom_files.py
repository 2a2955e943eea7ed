"""A DICOM file, read by pydicom with GDCM's decoders, as a device would show it.

Nothing is read here but what its pixels need.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.datasets import gdcm_process
from pipeline.datasets.gdcm_process import JPEG_BASELINE, JPEG_EXTENDED, PIXEL_TAGS
from pipeline.datasets.picture import NoPicture, Picture, Pixels, Window

if TYPE_CHECKING:
    from pydicom import Dataset, FileDataset

_PREAMBLE = 128
HEAD = _PREAMBLE + 4
"""As many first bytes tell a DICOM file."""

# Groups 2 and 8 come first; the latter is big-endian in files of old.
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00", b"\x00\x08")

# No name, no birth date, no number of a patient: those elements are not even read here.
# `dicom_patients` reads the number where a hospital has it nowhere else.
_TAGS = (
    *PIXEL_TAGS,
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
    *("PixelPaddingValue", "PixelPaddingRangeLimit"),
    *(f"{colour}PaletteColorLookupTableDescriptor" for colour in ("Red", "Green", "Blue")),
    *(f"{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue")),
    *(f"Segmented{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue")),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
)
_GREY_LEVELS = ("PixelValueTransformationSequence", "FrameVOILUTSequence")
"""Where enhanced objects keep slope, intercept and window."""

_BIG_ENDIAN = "1.2.840.10008.1.2.2"

DECODERS = {
    "1.2.840.10008.1.2": "",  # uncompressed: three orders of bytes, and deflated as a whole
    "1.2.840.10008.1.2.1": "",
    _BIG_ENDIAN: "",
    "1.2.840.10008.1.2.1.99": "",
    "1.2.840.10008.1.2.5": "pydicom",  # RLE
    JPEG_BASELINE: "pillow",
    JPEG_EXTENDED: "gdcm",  # also of 12 bits
    "1.2.840.10008.1.2.4.57": "gdcm",  # JPEG lossless
    "1.2.840.10008.1.2.4.70": "gdcm",  # the same, in the form that archives use most
    "1.2.840.10008.1.2.4.80": "gdcm",  # JPEG-LS, without and with a loss
    "1.2.840.10008.1.2.4.81": "gdcm",
    "1.2.840.10008.1.2.4.90": "gdcm",  # JPEG 2000, without and with a loss
    "1.2.840.10008.1.2.4.91": "gdcm",
}
"""Transfer syntax to the one decoder for it, so that a lossy picture has the same pixels at every hospital."""


def is_dicom(head: bytes) -> bool:
    """Whether a file that begins with these bytes is DICOM, with the preamble that the standard asks for or without."""
    return head[_PREAMBLE:] == b"DICM" or head.startswith(_FIRST_GROUPS)


def read(path: Path, window: Window | None = None) -> Picture:
    """The picture of a file, through the study's window where it has one; raises NoPicture."""
    import pydicom

    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)  # it warns of a wrong element by quoting it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dicom = pydicom.dcmread(path, specific_tags=list(_TAGS), force=True)
            return Picture.of(_pixels(dicom, window))
    except NoPicture:
        raise
    except Exception:  # pydicom and GDCM raise what they like on a damaged file, and quote elements
        raise NoPicture("is a damaged DICOM file") from None


def _pixels(dicom: FileDataset, window: Window | None) -> Pixels:
    if not dicom.get("PixelData") or "Rows" not in dicom:
        raise NoPicture("is a DICOM file without pixels")
    if int(dicom.get("NumberOfFrames") or 1) != 1:
        raise NoPicture("holds more than one picture")
    _take_grey_levels(dicom)
    interpretation = (dicom.get("SamplesPerPixel", 1), dicom.PhotometricInterpretation)
    match interpretation:
        case (1, "MONOCHROME1" | "MONOCHROME2"):
            return _grey(dicom, window)
        case _ if window:
            raise NoPicture("holds levels and no measured values, in which the study's `window` counts")
        case (1, "PALETTE COLOR"):
            return _palette(dicom)
        case (3, "RGB" | "YBR_FULL" | "YBR_FULL_422" | "YBR_ICT" | "YBR_RCT"):
            colours = _decoded(dicom)
            if colours.dtype != np.uint8 or dicom.BitsStored != 8:
                raise NoPicture("is in colour with other than 8 bits a channel")
            return colours
    raise NoPicture("has a photometric interpretation that is neither grey, nor a palette, RGB or YBR")


def _take_grey_levels(dicom: FileDataset) -> None:
    """Slope, intercept and window of an enhanced object, where those of a plain one stand."""
    for groups in (dicom.get("SharedFunctionalGroupsSequence"), dicom.get("PerFrameFunctionalGroupsSequence")):
        for name in _GREY_LEVELS:
            if groups and groups[0].get(name):
                dicom.update(groups[0][name][0])


def _decoded(dicom: FileDataset, *, correct_unused_bits: bool = True) -> npt.NDArray[Any]:
    """The stored values (height, width), or colours (height, width, 3)."""
    from pydicom.pixels.utils import pixel_array
    from pydicom.uid import UID

    syntax = _transfer_syntax(dicom)
    if syntax not in DECODERS:
        raise NoPicture("is a DICOM file whose compression this machine cannot read: export it uncompressed")
    if syntax == _BIG_ENDIAN and int(dicom.BitsAllocated) > 16:
        raise NoPicture("has pixels of 32 bits in big-endian order, which readers take in two ways: export it again")
    if DECODERS[syntax] == "gdcm":
        return gdcm_process.decoded(Path(str(dicom.filename)), correct_unused_bits=correct_unused_bits)
    dicom.file_meta.TransferSyntaxUID = UID(syntax)
    return pixel_array(dicom, decoding_plugin=DECODERS[syntax], correct_unused_bits=correct_unused_bits)


def _transfer_syntax(dicom: FileDataset) -> str:
    if named := dicom.file_meta.get("TransferSyntaxUID"):
        return str(named)
    if dicom["PixelData"].is_undefined_length:
        raise NoPicture("is a DICOM file that does not say how its pixels are compressed: export it again")
    implicit, little = dicom.original_encoding
    if implicit:
        return "1.2.840.10008.1.2"
    return "1.2.840.10008.1.2.1" if little else _BIG_ENDIAN


def _palette(dicom: FileDataset) -> Pixels:
    from pydicom.pixels.processing import apply_color_lut

    colours = apply_color_lut(_decoded(dicom), dicom)
    return (colours >> (8 * (colours.dtype.itemsize - 1))).astype(np.uint8)


def _grey(dicom: FileDataset, window: Window | None) -> Pixels:
    """Grey as the device would show it, padding black.

    Through the study's window, or else its own table or window where it names one, else from its darkest to its
    brightest value.
    """
    from pydicom.pixels.processing import apply_modality_lut

    if ("RescaleSlope" in dicom) != ("RescaleIntercept" in dicom):
        raise NoPicture("has one of rescale slope and intercept without the other: export it again")
    stored = _decoded(dicom)
    padding = _padding(stored, dicom)
    try:
        values = apply_modality_lut(stored, dicom).astype(np.float64)
        if window:
            grey = _through_window(values, window)
        elif dicom.get("VOILUTSequence"):
            grey = _through_table(values, dicom)
        elif dicom.get("WindowWidth") is not None and dicom.get("WindowCenter") is not None:
            grey = _through_window(values, _own_window(dicom), dicom.get("VOILUTFunction"))
        else:
            grey = _stretched(values, padding)
    except Exception:  # the tables come from the file
        raise NoPicture("is a DICOM file with a window or table of grey levels that does not fit its pixels") from None
    if dicom.PhotometricInterpretation == "MONOCHROME1":  # zero is white
        grey = 255 - grey
    grey[padding] = 0
    return np.rint(grey).astype(np.uint8)


def _padding(stored: npt.NDArray[Any], dicom: FileDataset) -> npt.NDArray[np.bool_]:
    """Which pixels stand for nothing that was measured, (height, width)."""
    if dicom.get("PixelPaddingValue") is None:
        return np.zeros(stored.shape, dtype=bool)
    limits = np.iinfo(stored.dtype)
    # A signed value may be written as an unsigned one.
    ends = sorted(
        (int(dicom.get(name, dicom.PixelPaddingValue)) - limits.min) % (limits.max - limits.min + 1) + limits.min
        for name in ("PixelPaddingValue", "PixelPaddingRangeLimit")
    )
    unused_bits = 8 * stored.dtype.itemsize - int(dicom.BitsStored)
    if ends[0] < limits.min >> unused_bits or ends[1] > limits.max >> unused_bits:
        # In bits above those that hold values, which are otherwise cut off.
        stored = _decoded(dicom, correct_unused_bits=False)
    padding: npt.NDArray[np.bool_] = (stored >= ends[0]) & (stored <= ends[1])
    return padding


def _stretched(values: npt.NDArray[np.float64], padding: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    measured = values[~padding]
    if not measured.size or measured.min() == measured.max():
        return np.zeros(values.shape)  # no contrast, which the data contract refuses
    lowest = float(measured.min())
    highest = float(measured.max())
    return (values.clip(lowest, highest) - lowest) / (highest - lowest) * 255


def _own_window(dicom: Dataset) -> Window:
    """The first one."""
    width, centre = (
        float(element.value[0] if element.VM > 1 else element.value)
        for element in (dicom["WindowWidth"], dicom["WindowCenter"])
    )
    return Window(centre, width)


def _through_window(
    values: npt.NDArray[np.float64], window: Window, function: str | None = None
) -> npt.NDArray[np.float64]:
    """0 to 255 by PS3.3 C.11.2.1.2 and C.11.2.1.3."""
    from pydicom import Dataset
    from pydicom.pixels.processing import apply_windowing

    # What the picture is to be shown with, whatever its own bits are.
    shown = Dataset()
    shown.PhotometricInterpretation = "MONOCHROME2"
    shown.BitsStored = 8
    shown.PixelRepresentation = 0
    shown.VOILUTFunction = function or "LINEAR"
    shown.WindowCenter = window.centre
    shown.WindowWidth = window.width
    return apply_windowing(values, shown)


def _through_table(values: npt.NDArray[np.float64], dicom: Dataset) -> npt.NDArray[np.float64]:
    """0 to 255 by the first table, by PS3.3 C.11.2.1.1."""
    from pydicom.pixels.processing import apply_voi

    white = (1 << int(dicom.VOILUTSequence[0].LUTDescriptor[2])) - 1
    return apply_voi(np.rint(values).astype(np.int64), dicom).astype(np.float64) / white * 255
