"""Images of one size: an index as CSV and the pixels beside it, image i belonging to record i."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.datasets import graphs, table_files
from pipeline.datasets.base import RECORDS, SPLITS, Dataset, PredictionBatch, Records, Split
from pipeline.datasets.patients import SecretSource
from pipeline.datasets.picture import FittedPicture, NoPicture, Pixels, Window, levels
from pipeline.datasets.picture_files import KINDS, picture
from pipeline.domain import INPUT_BITS
from pipeline.errors import FileRejected
from pipeline.host.secret import Secret

if TYPE_CHECKING:
    import pandas as pd
    import torch

IMAGES = "images.npz"
"""The pixels: one array `images` (n, height, width) uint8."""

LABELS = "labels.csv"
"""In a hospital's own folder, columns `file`, relative to it, `label`, and `split` where the hospital decides it."""

FEATURES = "features-"
"""Begins the name of a file, in a hospital's own folder, of what a backbone made of its pictures."""

_FEATURES_FILE = re.compile(rf"\.?{FEATURES}[0-9a-f]{{16}}\.npz(\..*)?")
"""That file, and one beside it while it is written. Pictures may begin with the same word."""

CHANNELS = {1: ("grey",), 3: ("red", "green", "blue")}
"""Names of a picture's channels, by their number."""

MIDDLE_GREY = 128
"""The level that is zero for the model, where its channel has no constants."""


class Images(Dataset):
    """A data set of 8-bit images, grey or in colour.

    A level p in 0..255 is encoded as p - 128, half a unit either side of zero, or by its channel's constants.
    """

    constants: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    """Means and deviations, in levels, one of each channel."""
    bits: int | None = None
    """Those of a grey value that are used in PNG and TIFF files of 16 bits, where the study says so."""
    window: Window | None = None
    """By which all pictures are shown, where the study says so: those of DICOM files alone."""

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
        """Pixels about middle grey, or their standard scores, clipped; raises Refused before constants are measured."""
        self._require_scale()
        if self.constants is None:
            return (values.astype(np.int16) - MIDDLE_GREY).reshape(-1, *self.shape)
        levels = np.arange(256, dtype=np.float64)
        scores = [
            np.clip(np.rint((levels - mean) / deviation * (1 << INPUT_BITS)), *self.input_range).astype(np.int16)
            for mean, deviation in zip(*self.constants, strict=True)
        ]
        pixels = values.reshape(-1, *self.shape)
        return np.stack([of_level[pixels[:, channel]] for channel, of_level in enumerate(scores)], axis=1)

    def torch(self) -> torch.nn.Module:
        """Levels (n, channels, height, width) uint8."""
        self._require_scale()
        return graphs.inputs("PictureInputs", *self._scale, self.input_range)

    @property
    def preparation(self) -> Mapping[str, Any]:
        """Pictures of the model's size."""
        channels, height, width = self.shape
        lowest, highest = (bound / (1 << INPUT_BITS) for bound in self.input_range)
        mean, deviation = self._scale
        return {
            "kind": "pictures",
            "input": {"name": "levels", "dtype": "uint8", "shape": ["records", *self.shape]},
            "channels": list(CHANNELS[channels]),
            "size": [height, width],
            "bits": self.bits,
            "window": None if self.window is None else {"centre": self.window.centre, "width": self.window.width},
            "mean": list(mean),
            "deviation": list(deviation),
            "bounds": {name: list(ends) for name, ends in self.bounds.items()},
            "before": [
                "Turn the picture as its EXIF orientation says.",
                "Of grey: one channel of levels from 0, black, to 255, white; in colour red, green and blue, and of a"
                " grey picture three equal ones. A model of one channel takes no picture in colour.",
                "Grey of 16 bits, where `bits` is given: value by (2^bits - 1), times 255, rounded half to even.",
                "DICOM: the values after the modality's rescale, shown by the standard's LINEAR through `window`. Where"
                " that is null, by the file's own table or window, or else from its darkest to its brightest value."
                " MONOCHROME1 is turned about, padding is black, and levels are rounded half to even.",
                "Cut out the largest part in the proportions of `size`, in whole pixels, about the middle: width"
                " min(w, h * width // height), height min(h, w * height // width), left and top half of what is left"
                " over, rounded down.",
                f"Scale it to {width} x {height} (width x height), each pixel the mean of those that it covers:"
                " Pillow's resize with Resampling.BOX.",
                "Refuse a picture whose size or whose darkest or brightest level, before all that, lies outside"
                " `bounds`, or whose contrast, the largest difference within a channel, does.",
                "Lay it out as channels, rows, columns.",
            ],
            "inside": [
                "Of each channel: level minus `mean`, by `deviation`, times 256, rounded half to even, by 256, clipped"
                f" to {lowest:g} to {highest:g}. In double precision.",
            ],
        }

    @property
    def _scale(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Means and deviations, also of levels about middle grey."""
        channels = self.shape[0]
        return self.constants or ((float(MIDDLE_GREY),) * channels, (float(1 << INPUT_BITS),) * channels)

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
        pixels = pd.DataFrame(levels(images), index=pd.RangeIndex(2, len(images) + 2))
        sized = pixels.assign(height=images.shape[1], width=images.shape[2])
        return pd.concat([index, sized], axis=1).rename_axis(index=str(index.index.name))

    def read(self, folder: Path, secret: SecretSource = Secret.generate) -> Split:
        """The images, encoded."""
        return self._split(self._index(folder), self._pixels(folder), secret)

    def questions(self, path: Path) -> PredictionBatch:
        """A picture, or a folder of them, fitted to the model's size; raises FileRejected.

        In a hospital's own folder its labels are no picture, and are not asked.
        """
        import pandas as pd

        files = [path]
        names = [path.name]
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.is_file() and not beside_pictures(file, path))
            names = [file.relative_to(path).as_posix() for file in files]
        pictures = []
        for number, file in enumerate(files, start=1):
            try:
                pictures.append(self._picture(file))
            except NoPicture as error:
                raise FileRejected(f"picture {number} of {len(files)} {error}; {self.wanted}") from None
            self._check_size(pictures[-1], f"picture {number} of {len(files)}")
        if not pictures:
            raise FileRejected(f"{path.name}: got a folder without pictures; {self.wanted}")
        index = pd.DataFrame({"record_id": names}, index=pd.RangeIndex(1, len(files) + 1)).rename_axis(index="picture")
        return PredictionBatch(
            index["record_id"].to_numpy(np.str_), self._stacked(pictures), self._measured(index, pictures)
        )

    @property
    def wanted(self) -> str:
        """What a file has to be, for messages."""
        colour = "in grey" if self.shape[0] == 1 else "in colour or grey"
        return f"want one picture {colour} in each file, as {'DICOM' if self.window else KINDS}"

    def _picture(self, file: Path) -> FittedPicture:
        """Raises NoPicture."""
        whole = picture(file, self.bits, self.window)
        if whole.channels > self.shape[0]:
            raise NoPicture("is in colour, and the study takes grey pictures")
        return FittedPicture(whole.fitted(*self.shape), whole.measures, whole.digest)

    def _check_size(self, one: FittedPicture, which: str) -> None:
        # Before the contract, which would say it in a sentence for each side.
        width = one.measures["width"]
        height = one.measures["height"]
        (narrowest, widest) = self.bounds["width"]
        (lowest, highest) = self.bounds["height"]
        if not (narrowest <= width <= widest and lowest <= height <= highest):
            most = "" if (narrowest, lowest) == (widest, highest) else f" to {widest:g} x {highest:g}"
            raise FileRejected(
                f"{which} has {width:g} x {height:g} pixels (width x height), want {narrowest:g} x {lowest:g}{most}"
            )

    def _measured(self, index: pd.DataFrame, pictures: Sequence[FittedPicture]) -> pd.DataFrame:
        """The index with what the contract asks of each picture."""
        import pandas as pd

        measures = pd.DataFrame(
            [one.measures for one in pictures], index=index.index, columns=list(self.bounds), dtype=np.float64
        )
        return pd.concat([index, measures], axis=1)

    def _stacked(self, pictures: Sequence[FittedPicture]) -> Pixels:
        return np.array([one.pixels for one in pictures], dtype=np.uint8).reshape(-1, *self.shape)

    def _index(self, folder: Path) -> pd.DataFrame:
        return table_files.read(folder / RECORDS, ("record_id", "split", "label"))

    def _pixels(self, folder: Path) -> npt.NDArray[Any]:
        with np.load(folder / IMAGES, allow_pickle=False) as archive:
            images: npt.NDArray[Any] = archive["images"]
        if images.ndim != 3 or not len(images):
            raise ValueError("images takes (n, height, width)")
        return images


def beside_pictures(file: Path, folder: Path) -> bool:
    """Whether a file of a hospital's own folder is none of its pictures: the labels, or features, whole or not yet."""
    return file.parent == folder and (file.name == LABELS or _FEATURES_FILE.fullmatch(file.name) is not None)
