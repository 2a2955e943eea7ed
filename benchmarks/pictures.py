"""Whether every file that pydicom ships for its tests is read right, or refused with a reason: `python -m
benchmarks.pictures`.

What we show is compared, level by level, with a second reader: DCMTK reads the file and shows it. For JPEG 2000,
JPEG-LS in grey and lossless JPEG it gets the pixels from FFmpeg's own decoders, which share no code with ours. Both
come from Debian: `apt-get install dcmtk ffmpeg`.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import warnings
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from PIL import Image
from pydicom.encaps import get_frame
from pydicom.pixels.utils import get_j2k_parameters
from pydicom.uid import (
    JPEG2000,
    ExplicitVRLittleEndian,
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSNearLossless,
    JPEGLSTransferSyntaxes,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from pipeline.datasets.picture import NoPicture
from pipeline.datasets.picture_files import picture
from pipeline.host.files import write_atomic

FILES = Path(pydicom.__file__).parent / "data"
RESULTS = Path(__file__).parent / "results" / "pictures.json"

_BY_FFMPEG = {
    **dict.fromkeys(JPEG2000TransferSyntaxes, "jpeg2000"),
    **dict.fromkeys(JPEGLSTransferSyntaxes, "jpegls"),
    JPEGLossless: "mjpeg",
    JPEGLosslessSV1: "mjpeg",
}
"""Transfer syntax to FFmpeg's own decoder."""

LOSSY = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000})

_NEAR = 1
"""Levels of 255 by which two readings of one picture may differ: how a window is rounded."""
_NEAR_WITH_LOSS = 2
"""The same where a compression with a loss leaves the last bit to the decoder."""


class NotShown(Exception):
    """The second reader does not show a file."""


def second(path: Path, folder: Path) -> npt.NDArray[Any]:
    """The picture as DCMTK shows it, (height, width) or (height, width, 3) uint8; raises NotShown."""
    dicom = pydicom.dcmread(path, force=True)
    levels = ["+Wm"]
    if dicom.get("VOILUTSequence"):
        levels = ["+Wl", "1"]
    elif dicom.get("WindowWidth") is not None and dicom.get("WindowCenter") is not None:
        levels = ["+Wi", "1"]
    syntax = dicom.file_meta.get("TransferSyntaxUID")
    if syntax in JPEGLSTransferSyntaxes and dicom.SamplesPerPixel == 3:
        # FFmpeg misreads those with a loss that are interleaved by sample.
        return _shown("dcml2pnm", path, levels, folder)
    if syntax in _BY_FFMPEG:
        return _shown("dcmj2pnm", _uncompressed(dicom, _BY_FFMPEG[syntax], folder), levels, folder)
    try:
        return _shown("dcmj2pnm", path, levels, folder)
    except NotShown:
        # A header that DCMTK does not read: what concerns the pixels, written anew.
        again = pydicom.Dataset()
        for element in dicom.group_dataset(0x0028):
            setattr(again, element.keyword, element.value)
        again.file_meta = dicom.file_meta
        again.SOPClassUID = SecondaryCaptureImageStorage
        again.SOPInstanceUID = generate_uid()
        again["PixelData"] = dicom["PixelData"]
        again.save_as(folder / "again.dcm", enforce_file_format=True)
        return _shown("dcmj2pnm", folder / "again.dcm", levels, folder)


def _shown(program: str, path: Path, levels: list[str], folder: Path) -> npt.NDArray[Any]:
    shown = folder / "shown.pnm"
    shown.unlink(missing_ok=True)
    done = _run(program, "--no-overlays", *levels, "--write-raw-pnm", path, shown)
    if done.returncode or not shown.is_file():
        raise NotShown(f"{program} does not show it")
    return np.asarray(Image.open(shown))


def _uncompressed(dicom: pydicom.FileDataset, decoder: str, folder: Path) -> Path:
    """The file with its pixels decoded by FFmpeg."""
    stream = folder / f"stream.{'j2k' if decoder == 'jpeg2000' else 'jpg'}"
    raw = folder / "raw"
    raw.unlink(missing_ok=True)
    frame = get_frame(dicom.PixelData, 0, number_of_frames=1)
    stream.write_bytes(frame)
    wide = dicom.BitsAllocated > 8
    layout = "gray16le" if wide else "gray" if dicom.SamplesPerPixel == 1 else "rgb24"
    done = _run("ffmpeg", "-v", "error", "-c:v", decoder, "-i", stream, "-f", "rawvideo", "-pix_fmt", layout, raw)
    if done.returncode or not raw.is_file():
        raise NotShown("FFmpeg does not decode it")
    values = np.frombuffer(raw.read_bytes(), "<u2" if wide else "u1")
    if wide:
        # FFmpeg fills 16 bits from the top, and counts JPEG 2000 from the lowest value.
        stream_says = get_j2k_parameters(frame) if decoder == "jpeg2000" else {}
        precision = stream_says.get("precision", int(dicom.BitsStored))
        values = values >> (16 - precision)
        if stream_says.get("is_signed"):
            values = values - (1 << precision - 1)
    dicom.PixelData = values.tobytes()
    dicom["PixelData"].VR = "OW" if wide else "OB"
    dicom["PixelData"].is_undefined_length = False
    if dicom.SamplesPerPixel == 3:
        dicom.PhotometricInterpretation = "RGB"
        dicom.PlanarConfiguration = 0
    dicom.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path = folder / "uncompressed.dcm"
    dicom.save_as(path)
    return path


def _run(*command: str | Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(list(map(str, command)), capture_output=True, check=False, timeout=60)


def compare(path: Path, folder: Path) -> dict[str, Any]:
    """What became of one file: read right or wrong, and by how many levels the two readers differ, or refused."""
    row: dict[str, Any] = {"file": path.relative_to(FILES).as_posix(), **_described(path)}
    try:
        ours = picture(path)
    except NoPicture as error:
        return row | {"outcome": "refused", "reason": str(error)}
    theirs = second(path, folder)
    shown = ours.pixels if theirs.ndim == ours.pixels.ndim else np.repeat(ours.pixels[..., None], 3, axis=-1)
    if shown.shape != theirs.shape:
        return row | {"outcome": "wrong", "levels": 255}
    levels = int(np.abs(shown.astype(int) - theirs.astype(int)).max())
    near = _NEAR_WITH_LOSS if row["with_loss"] else _NEAR
    return row | {"outcome": "right" if levels <= near else "wrong", "levels": levels, "pixels": ours.digest.hex()}


def _described(path: Path) -> dict[str, Any]:
    try:
        dicom = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    except Exception:  # no DICOM file at all
        return {}
    syntax = dicom.file_meta.get("TransferSyntaxUID")
    if syntax is None:
        return {}
    return {
        "syntax": syntax,
        "compression": syntax.name,
        "with_loss": syntax in LOSSY,
        "interpretation": str(dicom.get("PhotometricInterpretation", "")),
    }


def files() -> list[Path]:
    """What pydicom ships for its tests."""
    return [path for path in sorted(FILES.rglob("*")) if path.is_file() and path.suffix not in {".py", ".pyc"}]


def main() -> None:
    """Compare, print and write results/pictures.json."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(prefix="wardround-pictures-") as folder:
        rows = [compare(path, Path(folder)) for path in files()]
    outcomes = Counter(row["outcome"] for row in rows)
    print(", ".join(f"{count} {outcome}" for outcome, count in outcomes.items()))
    for row in rows:
        if row["outcome"] == "wrong":
            print(f"  wrong by {row['levels']} levels: {row['file']}")
    measured = {
        "versions": {name: version(name) for name in ("pydicom", "python-gdcm", "pillow")},
        "second_readers": {
            "DCMTK": _run("dcmj2pnm", "--version").stdout.split()[2].decode().removeprefix("v"),
            "FFmpeg": _run("ffmpeg", "-version").stdout.split()[2].decode(),
        },
        "rows": rows,
    }
    write_atomic(RESULTS, json.dumps(measured, indent=1).encode() + b"\n")


if __name__ == "__main__":
    main()
