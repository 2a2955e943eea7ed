"""Features that a backbone makes of a hospital's own pictures: a study's inputs in the place of pixels.

They are made where the pictures lie, rounded to the inputs' fixed point, and kept beside the pictures, so that they are
part of the version of the records that a hospital signs. Processors differ in the last bit of a sum, and two machines
would round a few features to neighbours: a round goes by what is kept, and whoever plays it again compares.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from pipeline.datasets import graphs
from pipeline.datasets.backbone import Backbone, backbone_path
from pipeline.datasets.backbone.backbone import FEATURE_RANGE
from pipeline.datasets.backbone.running import NoFeatures
from pipeline.datasets.base import Dataset, PredictionBatch, Records, Split
from pipeline.datasets.images import FEATURES, LABELS
from pipeline.datasets.own_images import OwnImages
from pipeline.datasets.patients import SecretSource
from pipeline.errors import FileRejected, Misconfigured, Refused
from pipeline.host.files import locked, write_secret
from pipeline.host.secret import Secret

if TYPE_CHECKING:
    import pandas as pd
    import torch

_Encoded = npt.NDArray[np.int16]
_Save = Callable[[Mapping[bytes, _Encoded]], None]

ONE_STEP = 1
"""By how much a feature may differ from one machine to another, in units of 2^-8."""

_PORTION = 200
"""So many new features are written at once, 20 seconds' work: a step that is killed at its deadline goes on there."""

_SHOWN = 3
"""Rows that a message names."""
_FEWEST = 10
"""Pictures without which nothing is said of their features."""
_MOST = 0.5
"""Share of all features from which on a note says so."""
_DIGEST_BYTES = hashlib.sha256().digest_size


@dataclass(frozen=True)
class KeptFeatures:
    """What lies beside a hospital's pictures after `Features.keep`."""

    file: Path
    pictures: int
    """Different ones, as the backbone takes them."""
    made: int
    """How many of them had no features yet."""
    notes: tuple[str, ...]
    """What is allowed and yet worth knowing, for the hospital's own eyes."""


@dataclass(frozen=True)
class Compared:
    """Kept features beside those that are made here and now, as numbers of pictures."""

    lacking: int
    """Without kept features; where there are any, nothing is made."""
    strayed: int
    """Whose kept features are more than a step away: one is what the rounding of two machines may differ by."""


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
        """Levels (n, channels, height, width) as features: those that are kept, and new ones of the others.

        Raises FileRejected naming the pictures of which the backbone makes none.
        """
        return self._featured(values, [f"picture {row + 1} of {len(values)}" for row in range(len(values))])[1]

    def read(self, folder: Path, secret: SecretSource = Secret.generate) -> Split:
        """Features of the folder's pictures."""
        return self._knowing(folder)._split(*self.pictures.fitted(folder), secret)

    def keep(self, folder: Path) -> KeptFeatures:
        """Make the features that are lacking beside the pictures, and drop those of pictures that are listed no longer.

        What is kept stays as it is: a round may have gone by it. What is made is written now and then, so that whoever
        is ended before its end goes on from there. Raises FileRejected naming the rows of which the backbone makes
        none.
        """
        index, levels = self.pictures.fitted(folder)
        rows = [f"the picture of row {row} of {LABELS}" for row in index.index]
        file = self._features(folder)
        # One at a time: a part of another's work would take the place of the whole.
        with locked(self._at_hand.with_name(f"{file.stem}.lock")):
            for left in folder.glob(f".{file.name}.*"):
                left.unlink(missing_ok=True)  # of a step that was killed while it wrote
            known = self._knowing(folder)
            digests, encoded = known._featured(levels, rows, lambda made: self._write(file, {**known._kept, **made}))
            features = dict(zip(digests, encoded, strict=True))
            self._write(file, features)
        made = len(features.keys() - known._kept.keys())
        return KeptFeatures(file, len(features), made, _scale_notes(encoded))

    def compared(self, folder: Path) -> Compared:
        """How many of the pictures have no kept features, or others than those that are made here and now."""
        _, levels = self.pictures.fitted(folder)
        kept = self._knowing(folder)._kept
        digests = [_digest(picture) for picture in levels]
        if lacking := sum(digest not in kept for digest in digests):
            return Compared(lacking, 0)
        return Compared(0, sum(self._strayed(*one, kept) for one in zip(levels, digests, strict=True)))

    def _strayed(self, levels: npt.NDArray[Any], digest: bytes, kept: Mapping[bytes, _Encoded]) -> bool:
        try:
            made = self._made(levels).astype(np.int32)
        except NoFeatures:
            return True
        return bool((np.abs(kept[digest].astype(np.int32) - made) > ONE_STEP).any())

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
        """What decides a feature, beside its picture's levels."""
        pictures = (self.pictures.shape, self.pictures.constants)
        return hashlib.sha256(repr((astuple(self.backbone), pictures)).encode()).digest()

    def _featured(
        self, values: npt.NDArray[Any], names: Sequence[str], save: _Save | None = None
    ) -> tuple[list[bytes], _Encoded]:
        """Digests and features of pictures in levels, one after the other: all of them decoded are too many to hold.

        `save` gets all that is made anew, after each portion. Raises FileRejected by the pictures' `names`.
        """
        digests = []
        encoded = np.empty((len(values), *self.shape), np.int16)
        made: dict[bytes, _Encoded] = {}
        wrong = []
        for row, levels in enumerate(values.reshape(-1, *self.pictures.shape)):
            digests.append(_digest(levels))
            features = self._kept.get(digests[-1], made.get(digests[-1]))
            if features is None:
                try:
                    features = self._made(levels)
                except NoFeatures as error:
                    wrong.append(f"{error} of {names[row]}")
                    continue
                made[digests[-1]] = features
                if save is not None and len(made) % _PORTION == 0:
                    save(made)
            encoded[row] = features
        if wrong:
            if save is not None and made:
                save(made)
            more = f", and of {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
            raise FileRejected(
                f"the backbone makes {', '.join(wrong[:_SHOWN])}{more}; leave them out, or tell whoever proposed the"
                " study that its backbone does not fit such pictures"
            )
        return digests, encoded

    def _made(self, levels: npt.NDArray[Any]) -> _Encoded:
        """Features (features,) of one picture; raises NoFeatures."""
        return self.backbone.encode(self._at_hand, self.pictures.encode(levels[None])[0])

    def _write(self, file: Path, features: Mapping[bytes, _Encoded]) -> None:
        rows = sorted(features.items(), key=lambda item: item[0])
        buffer = io.BytesIO()
        np.savez(
            buffer,
            key=np.frombuffer(self._key, np.uint8),
            pictures=np.frombuffer(b"".join(digest for digest, _ in rows), np.uint8).reshape(len(rows), _DIGEST_BYTES),
            features=np.array([one for _, one in rows], np.int16).reshape(len(rows), *self.shape),
        )
        if not file.exists() or file.read_bytes() != buffer.getvalue():
            write_secret(file, buffer.getvalue())

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


def _scale_notes(encoded: _Encoded) -> tuple[str, ...]:
    """A sentence where half of the features (n, features) or more tell a model nothing, or are cut off."""
    if len(encoded) < _FEWEST:
        return ()
    notes = []
    if (constant := float((np.ptp(encoded, axis=0) == 0).mean())) >= _MOST:
        notes.append(f"{constant:.0%} of the features are the same in all pictures: no model learns from them here.")
    if (clipped := float(np.isin(encoded, FEATURE_RANGE).mean())) >= _MOST:
        notes.append(
            f"{clipped:.0%} of the features lie outside 4 deviations and are cut off there: `mean` and `deviation` of"
            " the study's `backbone` are those of another scale."
        )
    return tuple(notes)


def _digest(levels: npt.NDArray[Any]) -> bytes:
    """Of one picture in levels."""
    return hashlib.sha256(np.ascontiguousarray(levels, np.uint8).tobytes()).digest()
