"""Grey images of one size: an index as CSV and the pixels beside it, image i belonging to record i."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.datasets import table_files
from pipeline.datasets.base import RECORDS, SPLITS, Dataset, PredictionBatch, Records, Split
from pipeline.datasets.picture_files import NoPicture, Picture, picture
from pipeline.errors import FileRejected

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
        """The index with each image's size and grey levels.

        A record without an image, or the reverse, has empty cells.
        """
        import pandas as pd

        index = self._index(folder)
        images = self._pixels(folder)
        pixels = pd.DataFrame(_levels(images), index=pd.RangeIndex(2, len(images) + 2))
        sized = pixels.assign(height=images.shape[1], width=images.shape[2])
        return pd.concat([index, sized], axis=1).rename_axis(index=str(index.index.name))

    def read(self, folder: Path) -> Split:
        """The images, encoded."""
        return self._split(self._index(folder), self._pixels(folder))

    def questions(self, path: Path) -> PredictionBatch:
        """A picture, or a folder of them, fitted to the model's size; raises FileRejected."""
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        pictures = []
        for number, file in enumerate(files, start=1):
            try:
                pictures.append(picture(file))
            except NoPicture as error:
                raise FileRejected(f"picture {number} of {len(files)} {error}; want PNG or DICOM") from None
            self._check_size(pictures[-1], f"picture {number} of {len(files)}")
        if not pictures:
            raise FileRejected(f"{path.name}: got an empty folder, want PNG or DICOM files")
        import pandas as pd

        numbers = pd.RangeIndex(1, len(files) + 1)
        index = pd.DataFrame({"record_id": [file.name for file in files]}, index=numbers).rename_axis(index="picture")
        return PredictionBatch(
            index["record_id"].to_numpy(np.str_), self._fitted(pictures), self._measured(index, pictures)
        )

    def _check_size(self, one: Picture, which: str) -> None:
        # Before the contract, which would say it in a sentence for each side.
        height, width = one.pixels.shape
        (narrowest, widest) = self.bounds["width"]
        (lowest, highest) = self.bounds["height"]
        if not (narrowest <= width <= widest and lowest <= height <= highest):
            most = "" if (narrowest, lowest) == (widest, highest) else f" to {widest:g} x {highest:g}"
            raise FileRejected(
                f"{which} has {width} x {height} pixels (width x height), want {narrowest:g} x {lowest:g}{most}"
            )

    def _measured(self, index: pd.DataFrame, pictures: Sequence[Picture]) -> pd.DataFrame:
        """The index with what the contract asks of each picture."""
        import pandas as pd

        rows = [
            {
                **{name: values[0] for name, values in _levels(picture.pixels[None]).items()},
                "height": picture.pixels.shape[0],
                "width": picture.pixels.shape[1],
                "channels": picture.channels,
                "frames": picture.frames,
            }
            for picture in pictures
        ]
        return pd.concat([index, pd.DataFrame(rows, index=index.index)], axis=1)

    def _fitted(self, pictures: Sequence[Picture]) -> npt.NDArray[np.uint8]:
        _, height, width = self.shape
        return np.array([picture.fitted(height, width) for picture in pictures], dtype=np.uint8).reshape(
            -1, height, width
        )

    def _index(self, folder: Path) -> pd.DataFrame:
        return table_files.read(folder / RECORDS, ("record_id", "split", "label"))

    def _pixels(self, folder: Path) -> npt.NDArray[Any]:
        with np.load(folder / IMAGES, allow_pickle=False) as archive:
            images: npt.NDArray[Any] = archive["images"]
        if images.ndim != 3 or not len(images):
            raise ValueError("images takes (n, height, width)")
        return images


def _levels(images: npt.NDArray[Any]) -> dict[str, npt.NDArray[np.float64]]:
    """Grey levels of each image (n, height, width)."""
    flat = images.reshape(len(images), -1).astype(np.float64)
    darkest = flat.min(axis=1)
    brightest = flat.max(axis=1)
    return {"darkest": darkest, "brightest": brightest, "contrast": brightest - darkest}
