"""One picture: its pixels, what the data contract asks of them, and how they are fitted to a model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Window:
    """Which values a study shows as grey, in those after the rescale: of CT, Hounsfield units."""

    centre: float
    width: float


class NoPicture(Exception):
    """A file that is no picture for us; the message says what is wrong with it, and nothing of what it holds."""


@dataclass(frozen=True)
class Picture:
    """Pixels (height, width) uint8 of a grey picture, or (height, width, 3) of one in colour."""

    pixels: Pixels

    @classmethod
    def of(cls, pixels: Pixels) -> Picture:
        """A picture of grey or of colour pixels; colour whose three channels are equal everywhere is grey."""
        if pixels.ndim == 3 and (pixels == pixels[..., :1]).all():
            return cls(pixels[..., 0])
        return cls(pixels)

    @property
    def channels(self) -> int:
        """1 of a grey picture, 3 of one in colour."""
        return 1 if self.pixels.ndim == 2 else 3

    @property
    def digest(self) -> bytes:
        """The SHA-256 of shape and pixels: equal for two files of one picture."""
        return hashlib.sha256(repr(self.pixels.shape).encode() + self.pixels.tobytes()).digest()

    @property
    def measures(self) -> dict[str, float]:
        """What the data contract asks of a picture."""
        height, width = self.pixels.shape[:2]
        return {
            **{name: float(values[0]) for name, values in levels(self.pixels[None]).items()},
            "height": float(height),
            "width": float(width),
        }

    def fitted(self, channels: int, height: int, width: int) -> Pixels:
        """(channels, height, width): the middle in these proportions, each pixel the mean of those that it covers.

        Three channels of a grey picture are equal.
        """
        from PIL import Image

        have_height, have_width = self.pixels.shape[:2]
        # The largest part of these proportions, in whole pixels.
        part_width = min(have_width, have_height * width // height) or 1
        part_height = min(have_height, have_width * height // width) or 1
        left = (have_width - part_width) // 2
        top = (have_height - part_height) // 2
        image = Image.fromarray(self.pixels).crop((left, top, left + part_width, top + part_height))
        scaled = np.asarray(image.resize((width, height), Image.Resampling.BOX), dtype=np.uint8)
        planes = scaled[None] if scaled.ndim == 2 else np.moveaxis(scaled, -1, 0)
        return np.ascontiguousarray(np.broadcast_to(planes, (channels, height, width)))


@dataclass(frozen=True)
class FittedPicture:
    """A picture as the model takes it, (channels, height, width), and what is known of the whole one."""

    pixels: Pixels
    measures: Mapping[str, float]
    digest: bytes


def levels(images: npt.NDArray[Any]) -> dict[str, npt.NDArray[np.float64]]:
    """Darkest and brightest level of each image (n, height, width) or (n, height, width, 3), and its contrast.

    The contrast is that of the channel that has most: a picture of one colour has none.
    """
    flat = images.reshape(len(images), images.shape[1] * images.shape[2], -1)
    darkest = flat.min(axis=1).astype(np.float64)
    brightest = flat.max(axis=1).astype(np.float64)
    return {
        "darkest": darkest.min(axis=1),
        "brightest": brightest.max(axis=1),
        "contrast": (brightest - darkest).max(axis=1),
    }
