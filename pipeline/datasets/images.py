"""Grey images of one size: an index as CSV and the pixels beside it, image i belonging to record i."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.datasets.base import RECORDS, SPLITS, Dataset, Records, Split

if TYPE_CHECKING:
    import pandas as pd

IMAGES = "images.npz"
"""The pixels: one array `images` (n, height, width) uint8."""

_MIDDLE_GREY = 128


class Images(Dataset):
    """A data set of 8-bit grey images; a pixel p in 0..255 is encoded as p - 128, half a unit either side of zero."""

    @property
    def bounds(self) -> Mapping[str, tuple[float, float]]:
        """Size and pixel range of every image, and some contrast, since a blank image is no image."""
        _, height, width = self.shape
        return {
            "height": (height, height),
            "width": (width, width),
            "darkest": (0, 255),
            "brightest": (0, 255),
            "contrast": (1, 255),
        }

    def encode(self, values: npt.NDArray[Any]) -> npt.NDArray[np.int16]:
        """Pixels about middle grey."""
        return (values.astype(np.int16) - _MIDDLE_GREY).reshape(-1, *self.shape)

    def write(self, folder: Path, train: Records, test: Records) -> None:
        """The index and the pixels of all records."""
        import pandas as pd

        folder.mkdir(parents=True, exist_ok=True)
        index = pd.DataFrame(
            {
                "record_id": np.concatenate([train.ids, test.ids]),
                "split": [SPLITS[0]] * len(train) + [SPLITS[1]] * len(test),
                "label": [self.classes[label] for label in np.concatenate([train.labels, test.labels])],
            }
        )
        index.to_csv(folder / RECORDS, index=False)
        np.savez_compressed(folder / IMAGES, images=np.concatenate([train.values, test.values]))

    def frame(self, folder: Path) -> pd.DataFrame:
        """The index with each image's size and grey levels; a record without an image, or the reverse, has empty cells."""
        import pandas as pd

        index, images = self._index(folder), self._pixels(folder)
        flat = images.reshape(len(images), -1).astype(np.float64)
        darkest, brightest = flat.min(axis=1), flat.max(axis=1)
        pixels = pd.DataFrame(
            {
                "height": images.shape[1],
                "width": images.shape[2],
                "darkest": darkest,
                "brightest": brightest,
                "contrast": brightest - darkest,
            }
        )
        return pd.concat([index, pixels], axis=1)

    def read(self, folder: Path) -> Split:
        """The images, encoded."""
        return self._split(self._index(folder), self._pixels(folder))

    def _index(self, folder: Path) -> pd.DataFrame:
        import pandas as pd

        return pd.read_csv(folder / RECORDS, dtype=str)

    def _pixels(self, folder: Path) -> npt.NDArray[Any]:
        with np.load(folder / IMAGES, allow_pickle=False) as archive:
            images: npt.NDArray[Any] = archive["images"]
        if images.ndim != 3 or not len(images):
            raise ValueError("images takes (n, height, width)")
        return images
