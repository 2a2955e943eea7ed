"""Features that a backbone makes of a hospital's own pictures: a study's inputs in the place of pixels.

They are made where the pictures lie, rounded to the inputs' fixed point, and kept beside the pictures, so that they are
part of the version of the records that a hospital signs. Processors differ in the last bit of a sum, and two machines
would round a few features to neighbours: a round goes by what is kept, and whoever plays it again compares.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from pipeline.datasets import graphs
from pipeline.datasets.backbone import Backbone, backbone_path
from pipeline.datasets.backbone.backbone import FEATURE_RANGE
from pipeline.datasets.base import Dataset, PredictionBatch, Records, Split
from pipeline.datasets.images import FEATURES
from pipeline.datasets.own_images import OwnImages
from pipeline.datasets.patients import SecretSource
from pipeline.errors import Misconfigured, Refused
from pipeline.host.files import write_secret
from pipeline.host.secret import Secret

if TYPE_CHECKING:
    import pandas as pd
    import torch

_Encoded = npt.NDArray[np.int16]

ONE_STEP = 1
"""By how much a feature may differ from one machine to another, in units of 2^-8."""


class Features(Dataset):
    """A backbone's features of pictures, standardised by the study's constants."""

    source = "the hospitals themselves"

    def __init__(self, pictures: OwnImages, backbone: Backbone) -> None:
        self.pictures = pictures
        self.backbone = backbone
        self.name = pictures.name
        self.title = pictures.title
        self.classes = pictures.classes
        self.shape = (backbone.features,)
        self.input_range = FEATURE_RANGE
        self._file: Path | None = None
        self._kept: Mapping[bytes, _Encoded] = {}

    def keeping(self, home: Path) -> Features:
        """It, with the backbone that the hospital has, and its pictures as they were decoded."""
        kept = copy(self)
        kept.pictures = self.pictures.keeping(home)
        kept._file = backbone_path(home, self.backbone.sha256)
        return kept

    @property
    def bounds(self) -> Mapping[str, tuple[float, float]]:
        """Those of the pictures."""
        return self.pictures.bounds

    def load(self, folders: Sequence[Path]) -> tuple[Records, Records]:
        """The pictures, for a demonstration to deal out."""
        return self.pictures.load(folders)

    def write(self, folder: Path, train: Records, test: Records) -> None:
        """The pictures."""
        self.pictures.write(folder, train, test)

    def frame(self, folder: Path) -> pd.DataFrame:
        """What the contract asks of the pictures."""
        return self.pictures.frame(folder)

    def notes(self, folder: Path) -> Sequence[str]:
        """Those on the pictures."""
        return self.pictures.notes(folder)

    def questions(self, path: Path) -> PredictionBatch:
        """Pictures to predict."""
        return self.pictures.questions(path)

    def encode(self, values: npt.NDArray[Any]) -> _Encoded:
        """Levels (n, channels, height, width) as features: those that are kept, and new ones of the others."""
        pictures = self.pictures.encode(values)
        digests = [_digest(picture) for picture in pictures]
        lacking = [row for row, digest in enumerate(digests) if digest not in self._kept]
        encoded = np.empty((len(pictures), *self.shape), np.int16)
        for row, digest in enumerate(digests):
            if digest in self._kept:
                encoded[row] = self._kept[digest]
        encoded[lacking] = self.backbone.encode(self._at_hand, pictures[lacking])
        return encoded

    def read(self, folder: Path, secret: SecretSource = Secret.generate) -> Split:
        """Features of the folder's pictures."""
        return self._knowing(folder)._split(*self.pictures.fitted(folder), secret)

    def keep(self, folder: Path) -> None:
        """Make the features that are lacking beside the pictures, and drop those of pictures that are listed no longer.

        What is kept stays as it is: a round may have gone by it.
        """
        _, levels = self.pictures.fitted(folder)
        encoded = self._knowing(folder).encode(levels)
        digests = [_digest(picture) for picture in self.pictures.encode(levels)]
        rows = sorted({digest: row for row, digest in enumerate(digests)}.items())
        buffer = io.BytesIO()
        np.savez(
            buffer,
            key=np.frombuffer(self._key, np.uint8),
            pictures=np.frombuffer(b"".join(digest for digest, _ in rows), np.uint8).reshape(len(rows), -1),
            features=encoded[[row for _, row in rows]],
        )
        file = self._features(folder)
        if not file.exists() or file.read_bytes() != buffer.getvalue():
            write_secret(file, buffer.getvalue())

    def strayed(self, folder: Path) -> int:
        """How many of the pictures have kept features that are more than a step from those that are made here and now.

        One step is what the rounding of two machines may differ by.
        """
        _, levels = self.pictures.fitted(folder)
        kept = self._knowing(folder).encode(levels).astype(np.int32)
        made = self.encode(levels).astype(np.int32)
        return int((np.abs(kept - made) > ONE_STEP).any(axis=1).sum())

    def torch(self) -> torch.nn.Module:
        """The backbone's output (n, features) float32 to the network's inputs: what follows it in an exported graph."""
        mean, deviation = ((number,) * self.backbone.features for number in self._constants)
        return graphs.inputs("FeatureInputs", mean, deviation, self.input_range)

    @property
    def preparation(self) -> Mapping[str, Any]:
        """That of the pictures, and what is made of them."""
        before = self.pictures.preparation
        mean, deviation = self._constants
        said = {"sha256": self.backbone.sha256, "output": self.backbone.output, "features": self.backbone.features}
        return {
            **before,
            "backbone": {**said, "mean": mean, "deviation": deviation},
            "inside": [
                *before["inside"],
                "The backbone's output, of each picture by itself, in single precision.",
                "Of each feature: it minus the backbone's `mean`, by its `deviation`, times 256, rounded half to even,"
                " by 256, clipped to -4 to 4. In double precision.",
            ],
        }

    @property
    def _constants(self) -> tuple[float, float]:
        return self.backbone.mean, self.backbone.deviation

    @property
    def _at_hand(self) -> Path:
        if self._file is None:
            raise Misconfigured(
                f"{self.name}: got no hospital's folder, want one: features are made where pictures lie"
            )
        return self._file

    @property
    def _key(self) -> bytes:
        """What decides a feature, beside its picture."""
        return hashlib.sha256(repr(astuple(self.backbone)).encode()).digest()

    def _features(self, folder: Path) -> Path:
        return folder / f"{FEATURES}{self._key.hex()[:16]}.npz"

    def _knowing(self, folder: Path) -> Features:
        """It, with the features that lie beside the pictures.

        Raises Refused where a file of them is damaged: a round went by it, so nothing is made in its place unasked.
        """
        file = self._features(folder)
        known = copy(self)
        known._kept = {}
        try:
            with np.load(file, allow_pickle=False) as kept:
                if kept["key"].tobytes() == self._key:
                    pictures, features = kept["pictures"], kept["features"]
                    if features.dtype != np.int16 or features.shape != (len(pictures), *self.shape):
                        raise ValueError
                    known._kept = {one.tobytes(): row for one, row in zip(pictures, features, strict=True)}
        except FileNotFoundError:
            pass
        except (OSError, BadZipFile, KeyError, ValueError, EOFError):
            raise Refused(
                f"{file.name}: got no whole file of features, and a round may have gone by it; check out the version"
                " of the records (dvc checkout), or remove it to have them made anew"
            ) from None
        return known


def _digest(picture: npt.NDArray[np.int16]) -> bytes:
    """Of a picture as the backbone takes it."""
    return hashlib.sha256(np.ascontiguousarray(picture, "<i2").tobytes()).digest()
