"""PNG, JPEG, TIFF, BMP and WebP files, read by Pillow.

Nothing is converted that could change what a picture shows: what cannot be read as 8 bits a channel without a loss is
refused.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.datasets.picture import NoPicture, Picture, Pixels

if TYPE_CHECKING:
    from PIL.Image import Image

_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",  # with offsets of 64 bits
    b"MM\0+": "TIFF",
    b"BM": "BMP",
    b"RIFF": "WebP",
}
_TIFF_PHOTOMETRIC = 262
_WHITE_IS_ZERO = 0


def kind(head: bytes) -> str | None:
    """The format of a file that begins with these bytes."""
    return next((name for signature, name in _SIGNATURES.items() if head.startswith(signature)), None)


def read(path: Path, kind: str, bits: int | None) -> Picture:
    """The picture of a file of that kind, turned as its EXIF orientation says; raises NoPicture.

    `bits` are those of a grey value that the study says to be used in a file of 16 bits.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of a wrong tag by quoting it
            # By the open file: from a path Pillow maps an uncompressed TIFF file by the size that it has once turned.
            with path.open("rb") as file, Image.open(file, formats=[kind]) as image:
                return Picture.of(_pixels(image, kind, bits))
    except NoPicture:
        raise
    except Exception:  # Pillow raises what it likes on a damaged file
        raise NoPicture(f"is a {kind} file that is damaged, too large or of an unusual kind") from None


def _pixels(image: Image, kind: str, bits: int | None) -> Pixels:
    from PIL import ImageOps

    if getattr(image, "n_frames", 1) != 1:
        raise NoPicture("holds more than one picture")
    deep = kind in {"PNG", "TIFF"} and any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))
    # Pillow turns this about in files of 8 bits alone.
    inverted = kind == "TIFF" and getattr(image, "tag_v2", {}).get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO
    # Before it is turned, since Pillow turns a TIFF file itself while it loads it.
    image.load()
    turned = ImageOps.exif_transpose(image)
    if turned.mode.startswith(("I", "F")):
        if turned.has_transparency_data:
            raise NoPicture("is transparent in part")
        return _eight_bits(np.asarray(turned), bits, inverted)
    if deep:
        raise NoPicture("is in colour or transparent with 16 bits a channel: save it with 8")
    if turned.has_transparency_data:
        *colours, opacity = np.moveaxis(np.asarray(turned.convert("RGBA")), -1, 0)
        if (opacity != 255).any():
            raise NoPicture("is transparent in part")
        return np.stack(colours, axis=-1)
    if turned.mode in {"1", "L"}:
        return np.asarray(turned.convert("L"))
    if turned.mode in {"P", "RGB"}:
        return np.asarray(turned.convert("RGB"))
    raise NoPicture("has colours other than red, green and blue, as for print: save it as RGB")


def _eight_bits(values: npt.NDArray[Any], bits: int | None, inverted: bool) -> Pixels:
    """Grey of more than 8 bits: 0 is black and the largest value of the study's bits is white."""
    if bits is None:
        raise NoPicture(
            "has grey values of 16 bits, and the study does not say how many are used: its `images` need `bits`"
        )
    white = (1 << bits) - 1
    if not np.issubdtype(values.dtype, np.integer) or values.min() < 0 or values.max() > white:
        raise NoPicture(f"has grey values outside the {bits} bits of the study's `images`")
    grey = values.astype(np.float64) / white * 255
    return np.rint(255 - grey if inverted else grey).astype(np.uint8)
