"""A hospital's own pictures.

A folder of files as devices and archives drop them, and one CSV file that gives each its label.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pipeline.datasets import dicom_patients, table_files
from pipeline.datasets.base import SPLITS, Records, Split, with_split
from pipeline.datasets.decoded import DECODED, Decode, DecodedPictures
from pipeline.datasets.images import CHANNELS, LABELS, Images, beside_pictures
from pipeline.datasets.measured import Counted, MeasuredInput
from pipeline.datasets.patients import PATIENT, SecretSource, groups, without
from pipeline.datasets.picture import FittedPicture, NoPicture, Pixels, Window
from pipeline.errors import FileRejected, Misconfigured
from pipeline.host.secret import Secret

if TYPE_CHECKING:
    import pandas as pd

_TEXTS = ("file", PATIENT, "label", "split")
_LARGEST_SIDE = 16384

_SHOWN = 3
"""Rows that a message names."""


class OwnImages(Images):
    """Pictures of the model's size or larger, cut to its proportions about the middle and averaged down."""

    source = "the hospitals themselves"

    def __init__(
        self,
        name: str,
        size: tuple[int, int],
        classes: tuple[str, ...],
        channels: int = 1,
        bits: int | None = None,
        window: Window | None = None,
        constants: tuple[tuple[float, ...], tuple[float, ...]] | None = None,
        *,
        awaits_scale: bool = False,
    ) -> None:
        self.name = name
        self.title = name
        self.classes = classes
        self.shape = (channels, *size)
        self.bits = bits
        self.window = window
        self.constants = constants
        self._awaits_scale = awaits_scale
        self._decoded: Path | None = None
        # Levels about middle grey, or standard scores as those of a table.
        self.input_range = (-1024, 1024) if awaits_scale or constants else (-128, 127)

    def keeping(self, home: Path) -> OwnImages:
        """It, that keeps what it decodes, and forgets it when the labels are gone."""
        kept = copy(self)
        kept._decoded = home / DECODED / f"{self.name}.npz"
        return kept

    @property
    def measured(self) -> Sequence[MeasuredInput]:
        """The channels, where the study's first round measures their constants."""
        return tuple(MeasuredInput(name, 0, 255) for name in CHANNELS[self.shape[0]]) if self._awaits_scale else ()

    def statistics(self, folder: Path) -> Sequence[Counted]:
        """Of each channel how often a level comes in the training pictures, as the model takes them."""
        index, pixels = self.fitted(folder)
        pixels = pixels[(index["split"] == SPLITS[0]).to_numpy()]
        levels = np.arange(256, dtype=np.float64)
        return [(levels, np.bincount(channel.ravel(), minlength=256)) for channel in np.moveaxis(pixels, 1, 0)]

    @property
    def bounds(self) -> Mapping[str, tuple[float, float]]:
        """At least the model's size, and some contrast, since a blank picture is none."""
        _, height, width = self.shape
        return {
            **super().bounds,
            "height": (height, _LARGEST_SIDE),
            "width": (width, _LARGEST_SIDE),
        }

    def frame(self, folder: Path) -> pd.DataFrame:
        """The labels with each picture's size and levels.

        Raises FileRejected naming the rows whose picture cannot be read, or is in another row too and must not be.
        """
        index = self._listed(folder)
        pictures = self._all(folder, index)
        _refuse_contradictions(index, pictures)
        return self._measured(without(index), pictures)

    def read(self, folder: Path, secret: SecretSource = Secret.generate) -> Split:
        """The pictures, fitted and encoded."""
        return self._split(*self.fitted(folder), secret)

    def fitted(self, folder: Path) -> tuple[pd.DataFrame, Pixels]:
        """The rows of the labels with their split, and their pictures (n, channels, height, width), in levels."""
        index = self._listed(folder)
        return index, self._stacked(self._all(folder, index))

    def load(self, folders: Sequence[Path]) -> tuple[Records, Records]:
        """For a demonstration: the folder of this data set's name, laid out as at a hospital, to be dealt out."""
        folder = own_folder(self.name, folders, LABELS)
        index, pixels = self.fitted(folder)
        everything = Records(
            index["record_id"].to_numpy(np.str_),
            pixels,
            self._labels(index),
            _numbered(index),
        )
        train, test = (everything[np.flatnonzero((index["split"] == split).to_numpy())] for split in SPLITS)
        return train, test

    def write(self, folder: Path, train: Records, test: Records) -> None:
        """One PNG file per record, in the folders that they came from, and the labels."""
        import pandas as pd
        from PIL import Image

        rows = []
        for split, records in zip(SPLITS, (train, test), strict=True):
            for identity, pixels, label in zip(records.ids, records.values, records.labels, strict=True):
                # The whole name, since `a.dcm` and `a.png` are two pictures.
                file = f"{identity}.png"
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                image = pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1)
                Image.fromarray(np.ascontiguousarray(image)).save(folder / file)
                rows.append({"file": file, "split": split, "label": self.classes[label]})
        table = pd.DataFrame(rows)
        if train.patients is not None and test.patients is not None:
            table.insert(1, PATIENT, [*train.patients, *test.patients])
        table.to_csv(folder / LABELS, index=False)

    def notes(self, folder: Path) -> Sequence[str]:
        """Whose pictures they are, where no column says so."""
        labels = self._labelled(folder)
        return dicom_patients.notes(labels, _files(folder, labels))

    def pixels(self, folder: Path, most: int) -> Pixels:
        """Of at most so many pictures from all along the labels, (n, channels, height, width), in levels."""
        index = self._labelled(folder).rename(columns={"file": "record_id"})
        step = max(1, math.ceil(len(index) / most))
        return self._stacked(self._pictures(folder, index.iloc[::step], self._picture))

    def unlisted(self, folder: Path) -> int:
        """How many files of the folder have no label yet: they take no part."""
        listed = set(self._labelled(folder)["file"])
        return sum(
            file.is_file() and not beside_pictures(file, folder) and str(file.relative_to(folder)) not in listed
            for file in folder.rglob("*")
        )

    def _listed(self, folder: Path) -> pd.DataFrame:
        """The rows of the labels with their split, and whose pictures they are where labels or DICOM files say so."""
        labels = self._labelled(folder)
        if PATIENT not in labels and (whose := dicom_patients.column(_files(folder, labels))):
            labels = labels.assign(**{PATIENT: whose})
        return with_split(labels, "file").rename(columns={"file": "record_id"})

    def _labelled(self, folder: Path) -> pd.DataFrame:
        """The rows of the labels, each file under one name however it is spelt: `./x.png` is `x.png`."""
        if not (folder / LABELS).exists():
            if self._decoded is not None:
                self._decoded.unlink(missing_ok=True)
            raise FileRejected(f"{folder.name}: got no {LABELS}, want one with the columns file and label")
        index = table_files.read(folder / LABELS, _TEXTS)
        wanted = [column for column in _TEXTS if column in index.columns]
        if "file" not in wanted or "label" not in wanted:
            raise FileRejected(
                f"{LABELS}: got no column file or none named label, want both, and `split` where you decide it"
            )
        return index.assign(file=index["file"].map(lambda name: _plain(folder, name)))

    def _all(self, folder: Path, index: pd.DataFrame) -> list[FittedPicture]:
        """Every picture of the folder's labels, those that were decoded before as they were kept."""
        if self._decoded is None:
            return self._pictures(folder, index, self._picture)
        kept = DecodedPictures(self._decoded, (self.shape, self.bits, self.window))
        pictures = self._pictures(folder, index, lambda file: kept.picture(file, self._picture))
        kept.keep()
        return pictures

    def _pictures(self, folder: Path, index: pd.DataFrame, decode: Decode) -> list[FittedPicture]:
        pictures = []
        wrong = []
        for row, name in index["record_id"].items():
            try:
                pictures.append(decode(_file(folder, name)))
            except NoPicture as error:
                wrong.append(f"row {row} {error}")
        if wrong:
            more = f", and {len(wrong) - _SHOWN} more rows" if len(wrong) > _SHOWN else ""
            raise FileRejected(f"{LABELS}: the file of {'; that of '.join(wrong[:_SHOWN])}{more}; {self.wanted}")
        return pictures


def own_folder(name: str, folders: Sequence[Path], *files: str) -> Path:
    """The first of these folders' subfolders `name` that holds one of the files.

    Raises Misconfigured saying where hospitals put theirs.
    """
    for folder in folders:
        if any((folder / name / file).is_file() for file in files):
            return folder / name
    raise Misconfigured(
        f"{name}: got no {' or '.join(files)} in a folder {name} of {', '.join(map(str, folders)) or 'no folder'}; "
        f"a hospital keeps its own in data/records/{name} of its folder, "
        f"and for a demonstration WARDROUND_DATA names a folder whose {name} is dealt out"
    )


def _plain(folder: Path, name: object) -> object:
    """A file's one name: relative to the folder, without `.`, `..` and links; as it is where it lies elsewhere."""
    if not isinstance(name, str) or not name:
        return name
    root = folder.resolve()
    file = (root / name).resolve()
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else name


def _file(folder: Path, name: object) -> Path:
    if not isinstance(name, str) or not name:
        raise NoPicture("has no name")
    file = (folder / name).resolve()
    if not file.is_relative_to(folder.resolve()):
        raise NoPicture("lies outside the folder")
    if not file.is_file():
        raise NoPicture("is not there")
    return file


def _files(folder: Path, labels: pd.DataFrame) -> list[Path | None]:
    """The files of the labels; None for one that is not there."""
    files: list[Path | None] = []
    for name in labels["file"]:
        try:
            files.append(_file(folder, name))
        except NoPicture:
            files.append(None)
    return files


def _numbered(index: pd.DataFrame) -> npt.NDArray[np.str_] | None:
    """Whose pictures are dealt out, by numbers: what a DICOM file says of a patient is written nowhere."""
    return groups(index[PATIENT].to_numpy(np.str_), len(index)).astype(np.str_) if PATIENT in index else None


def _refuse_contradictions(index: pd.DataFrame, pictures: Sequence[FittedPicture]) -> None:
    """Raise FileRejected for one picture under two labels, or both in training and test."""
    first: dict[bytes, tuple[int, str, str]] = {}
    wrong = []
    for row, label, split, one in zip(index.index, index["label"], index["split"], pictures, strict=True):
        earlier, its_label, its_split = first.setdefault(one.digest, (row, label, split))
        if label != its_label:
            wrong.append(f"rows {earlier} and {row} show the same pixels under two labels")
        elif split != its_split:
            wrong.append(f"rows {earlier} and {row} show the same pixels in training and in test")
    if wrong:
        more = f", and {len(wrong) - _SHOWN} more rows" if len(wrong) > _SHOWN else ""
        raise FileRejected(f"{LABELS}: {'; '.join(wrong[:_SHOWN])}{more}; keep one row of each picture")
