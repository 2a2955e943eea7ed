"""A backbone as a study names it: its file, run by ONNX Runtime on one picture at a time, and features as inputs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.datasets.backbone.graph import LARGEST_FILE, checked
from pipeline.domain import INPUT_BITS, Sha256
from pipeline.errors import EvidenceRejected, Misconfigured
from pipeline.evidence.canonical import sha256

if TYPE_CHECKING:
    import onnxruntime

FEATURE_RANGE = (-1024, 1024)
"""Smallest and largest encoded feature, 8 fractional bits: four deviations, as standard scores of a table."""

_FOLDER = "backbones"

_WARNINGS_OFF = 4
"""ONNX Runtime's severity `fatal`: it may quote a value in what it warns of."""


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
        got = sha256(data)
        if got != self.sha256:
            raise EvidenceRejected(
                f"backbone: got a file with SHA-256 {got}, want {self.sha256}: another network, or cut off on its way;"
                " fetch it again, or name the digest in the study"
            )
        checked(data, self.output, shape, self.features)
        session = _opened(data)
        for level in (0.0, 1.0):
            batch = np.full((1, *shape), level, np.float32)
            features = self._run(session, batch)
            if features.shape != (1, self.features) or not np.isfinite(features).all():
                raise EvidenceRejected(
                    f"backbone: got features of an even picture that are no {self.features} finite numbers (NaN or"
                    " infinity), want them all finite; export it again"
                )
            if not np.array_equal(features, self._run(session, batch)):
                raise EvidenceRejected(
                    "backbone: got other features of the same picture at the second run, want equal ones; take a"
                    " network without chance"
                )

    def encode(self, file: Path, pictures: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
        """Encoded pictures (n, channels, height, width) to features (n, features), both with 8 fractional bits.

        Raises Misconfigured where the file is not there, EvidenceRejected where it is another, or a feature is no
        finite number.
        """
        encoded = np.empty((len(pictures), self.features), np.int16)
        if not len(pictures):
            return encoded
        session = _session(file, self.sha256)
        # One at a time: what a picture becomes depends on no other one.
        for row, picture in enumerate(pictures):
            batch = picture[None].astype(np.float32) / (1 << INPUT_BITS)
            encoded[row] = self._rounded(self._run(session, batch)[0])
        return encoded

    def _run(self, session: onnxruntime.InferenceSession, batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        features: npt.NDArray[np.float32] = session.run([self.output], {session.get_inputs()[0].name: batch})[0]
        return features

    def _rounded(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
        if not np.isfinite(features).all():
            raise EvidenceRejected("backbone: got a feature of a picture that is NaN or infinite, want finite ones")
        scores = np.rint((features.astype(np.float64) - self.mean) / self.deviation * (1 << INPUT_BITS))
        return np.clip(scores, *FEATURE_RANGE).astype(np.int16)


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
    if (got := sha256(data)) != digest:
        raise EvidenceRejected(
            f"backbone: {file.name}: got a file with SHA-256 {got}, want {digest}: another network, or cut off on its"
            " way; fetch it again"
        )
    return data


@lru_cache(maxsize=2)
def _session(file: Path, digest: Sha256) -> onnxruntime.InferenceSession:
    return _opened(prepared(file, digest))


def _opened(data: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # The order of a sum, hence its last bit, depends on the number of threads.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = _WARNINGS_OFF
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # Its errors have no class of their own in common.
        raise EvidenceRejected(
            f"backbone: got a graph that ONNX Runtime does not load ({type(error).__name__}), want one that it does;"
            " export it again"
        ) from error
