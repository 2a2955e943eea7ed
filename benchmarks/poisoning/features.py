"""A public backbone's features of published pictures, as hospitals hold them: plain, and with the backdoor's trigger.

The trigger lies in the picture, so that the backbone sees it. A picture is enlarged to the size that the backbone
takes, which adds no detail. Features take minutes: they are made once, by the product's own code, and kept in the
user's cache.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from benchmarks.poisoning.triggers import stamped
from pipeline.datasets import Records, Samples
from pipeline.datasets.backbone import backbone_path
from pipeline.datasets.features import Features
from pipeline.datasets.images import MIDDLE_GREY
from pipeline.domain import INPUT_BITS
from pipeline.errors import Misconfigured
from pipeline.host.files import locked, write_atomic
from pipeline.site.settings import Settings
from pipeline.study.study import Study

if TYPE_CHECKING:
    import torch

STUDY = Path(__file__).with_name("head.yaml")
"""The study whose images and backbone say how a picture becomes features."""

_ONE = 1 << INPUT_BITS
_PORTION = 500
"""Pictures whose features are kept together: what an interruption loses at most, and what is in memory at once."""

_Levels = npt.NDArray[np.uint8]
_Encoded = npt.NDArray[np.int16]


class FeaturedPictures:
    """Every published picture (n, height, width) in levels, by its features; `whole` are all records."""

    def __init__(self, study: Study, whole: Sequence[Records], settings: Settings) -> None:
        source = study.source
        if not isinstance(source, Features):
            raise Misconfigured(f"{study.name}: got a study without a backbone, want `images` and `backbone`")
        self._source = source
        self._settings = settings
        self._constants = repr((study.images, study.backbone)).encode()
        self._pictures: _Levels = np.concatenate([part.values for part in whole])
        self._plain = self._features(self._pictures)
        self._of_record = {record: row for row, record in enumerate(np.concatenate([part.ids for part in whole]))}
        self._of_features = {one.tobytes(): row for row, one in enumerate(_inputs(self._plain))}
        self._stamped = lru_cache(maxsize=None)(self._stamped_features)

    def samples(self, records: Records) -> Samples:
        """Some of the records, encoded."""
        return Samples(self._plain[[self._of_record[record] for record in records.ids]], records.labels)

    def stamp(self, inputs: torch.Tensor, part: int | None = None) -> torch.Tensor:
        """Features (n, features) of the same pictures with the trigger in them, as `triggers.stamped`.

        Raises KeyError where features are those of no published picture.
        """
        import torch

        rows = [self._of_features[one.tobytes()] for one in inputs.numpy()]
        return torch.from_numpy(_inputs(self._stamped(part)[rows]))

    def _stamped_features(self, part: int | None) -> _Encoded:
        import torch

        encoded = (self._pictures.astype(np.float32) - MIDDLE_GREY) / _ONE
        marked = stamped(torch.from_numpy(encoded)[:, None], part)[:, 0].numpy()
        return self._features((marked * _ONE + MIDDLE_GREY).astype(np.uint8))

    def _features(self, pictures: _Levels) -> _Encoded:
        starts = range(0, len(pictures), _PORTION)
        return np.concatenate([self._kept(self._enlarged(pictures[start : start + _PORTION])) for start in starts])

    def _enlarged(self, pictures: _Levels) -> _Levels:
        """(n, height, width) of the backbone's own size."""
        from PIL import Image

        _, height, width = self._source.pictures.shape
        bicubic = Image.Resampling.BICUBIC
        return np.stack([np.asarray(Image.fromarray(one).resize((width, height), bicubic)) for one in pictures])

    def _kept(self, pictures: _Levels) -> _Encoded:
        """Features of enlarged pictures, made unless the cache has them."""
        cache = self._settings.cache / "laboratory"
        key = hashlib.sha256(self._constants + pictures.tobytes()).hexdigest()
        file = cache / f"features-{key[:32]}.npy"
        # One at a time: two processes would make the same.
        with locked(cache / ".lock"):
            if not file.exists():
                channels = np.broadcast_to(pictures[:, None], (len(pictures), *self._source.pictures.shape))
                buffer = io.BytesIO()
                np.save(buffer, self._at_hand.encode(channels))
                write_atomic(file, buffer.getvalue())
        kept: _Encoded = np.load(file, allow_pickle=False)
        return kept

    @property
    def _at_hand(self) -> Features:
        """The source with its backbone's file; raises Misconfigured saying where it looked and how to get it."""
        digest = self._source.backbone.sha256
        folders = self._settings.searched
        for folder in folders:
            if backbone_path(folder, digest).is_file():
                return self._source.keeping(folder)
        looked_in = ", ".join(str(backbone_path(folder, digest).parent) for folder in folders)
        raise Misconfigured(
            f"{self._source.name}: got no {digest}.onnx in {looked_in}; docs/reference/results/poisoning.md says how to"
            " make the file, put it into a folder `backbones` and name the folder that holds that in WARDROUND_DATA"
        )


def _inputs(encoded: _Encoded) -> npt.NDArray[np.float32]:
    """As a trainee has them."""
    return encoded.astype(np.float32) / np.float32(_ONE)
