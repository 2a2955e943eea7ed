"""A backbone as a study names it: its file, run by ONNX Runtime on one picture at a time, and features as inputs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pipeline.datasets.backbone import inspection
from pipeline.datasets.backbone.graph import LARGEST_FILE
from pipeline.datasets.backbone.running import opened, run
from pipeline.domain import INPUT_BITS, Sha256
from pipeline.errors import EvidenceRejected, Misconfigured
from pipeline.evidence.canonical import sha256

if TYPE_CHECKING:
    import onnxruntime

FEATURE_RANGE = (-1024, 1024)
"""Smallest and largest encoded feature, 8 fractional bits: four deviations, as standard scores of a table."""

_FOLDER = "backbones"


@dataclass(frozen=True)
class Backbone:
    """The file by its digest, its output (n, features), and what standardises a feature."""

    sha256: Sha256
    output: str
    features: int
    mean: float
    deviation: float

    def inspect(self, data: bytes, shape: tuple[int, ...]) -> None:
        """Raise EvidenceRejected unless `data` is this backbone, for pictures (channels, height, width) of `shape`."""
        _check_digest(data, self.sha256)
        if (self, shape) not in _PASSED:
            inspection.inspect_apart(data, self.output, shape, self.features)
            _PASSED.add((self, shape))

    def encode(self, file: Path, picture: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
        """An encoded picture (channels, height, width) to features (features,), both with 8 fractional bits.

        Raises Misconfigured where the file is not there, EvidenceRejected where it is another, NoFeatures where it
        makes no finite numbers of this picture.
        """
        # By itself: what a picture becomes depends on no other one.
        batch = (picture[None] / (1 << INPUT_BITS)).astype(np.float32)
        features = run(_session(file, self.sha256), self.output, batch)[0]
        scores = np.rint((features.astype(np.float64) - self.mean) / self.deviation * (1 << INPUT_BITS))
        encoded: npt.NDArray[np.int16] = np.clip(scores, *FEATURE_RANGE).astype(np.int16)
        return encoded


_PASSED: set[tuple[Backbone, tuple[int, ...]]] = set()
"""What this process has inspected: all owners of a demonstration approve in one."""


def backbone_path(home: Path, digest: Sha256) -> Path:
    """Where a member keeps a backbone, in its own folder."""
    return home / _FOLDER / f"{digest}.onnx"


def prepared(file: Path, digest: Sha256) -> bytes:
    """The bytes of a backbone; raises Misconfigured where it is not there, EvidenceRejected where it is another."""
    try:
        size = file.stat().st_size
        data = file.read_bytes() if size <= LARGEST_FILE else b""
    except FileNotFoundError as error:
        raise Misconfigured(
            f"{file}: got no backbone, want the study's; approve the study again (`wardround study approve`), which"
            " fetches it"
        ) from error
    if size > LARGEST_FILE:
        raise EvidenceRejected(f"backbone: got a file of {size} bytes, want at most {LARGEST_FILE}; take a smaller one")
    _check_digest(data, digest)
    return data


def is_at(file: Path, digest: Sha256) -> bool:
    """Whether a file is the backbone with this digest: it may be missing, damaged or another."""
    try:
        prepared(file, digest)
    except (Misconfigured, EvidenceRejected):
        return False
    return True


def _check_digest(data: bytes, digest: Sha256) -> None:
    if (got := sha256(data)) != digest:
        raise EvidenceRejected(
            f"backbone: got a file with SHA-256 {got}, want {digest}: another network, or cut off on its way; fetch it"
            " again, or name its digest in the study"
        )


@lru_cache(maxsize=2)
def _session(file: Path, digest: Sha256) -> onnxruntime.InferenceSession:
    return opened(prepared(file, digest))
