"""A model on disk and in the store: safetensors bytes of its parameters, and of its scale where its study measured one.

`parameters` is int64; `means` and `deviations` are float64, one number for each input that the study measured, in the
order of its file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from pipeline.domain import MODEL_CAP
from pipeline.errors import EvidenceRejected

Vector = npt.NDArray[np.int64]
"""All parameters in the order of `Network.parameters`, (P,) int64 with 16 fractional bits."""

_TENSOR = "parameters"
_SCALE = ("means", "deviations")


@dataclass(frozen=True)
class Scale:
    """The constants by which measured inputs are encoded, in their own units."""

    means: tuple[float, ...]
    deviations: tuple[float, ...]


@dataclass(frozen=True)
class Model:
    """What a round starts from and ends with."""

    parameters: Vector
    scale: Scale | None = None
    """None where the study gives its constants, or has not measured them yet."""

    def to_bytes(self) -> bytes:
        """The one serialisation of a model; its SHA-256 is the model's identity."""
        tensors: dict[str, npt.NDArray[np.generic]] = {_TENSOR: np.ascontiguousarray(self.parameters, dtype="<i8")}
        if self.scale is not None:
            tensors |= {name: np.array(getattr(self.scale, name), dtype="<f8") for name in _SCALE}
        return bytes(save(tensors))


def model_bytes(vector: Vector) -> bytes:
    """The serialisation of a model without a scale."""
    return Model(vector).to_bytes()


def parse_model(data: bytes, size: int) -> Vector:
    """The `size` parameters of the model in `data`; raises EvidenceRejected when it holds no such model."""
    return read_model(data, size).parameters


def read_model(data: bytes, size: int | None = None) -> Model:
    """The model of `size` parameters, or of any number, in `data`; raises EvidenceRejected on anything else."""
    try:
        tensors = load(data)
    except (SafetensorError, KeyError, ValueError) as error:
        raise EvidenceRejected(
            f"model: got {len(data)} bytes that are no safetensors file; fetch the model again"
        ) from error
    vector = tensors.get(_TENSOR)
    if vector is None or tensors.keys() - {_TENSOR} not in (set(), set(_SCALE)):
        raise EvidenceRejected(
            f"model: got tensors {', '.join(sorted(tensors)) or 'none'}, want one named {_TENSOR}, alone or with"
            f" {' and '.join(_SCALE)}"
        )
    if vector.dtype != np.int64 or vector.shape != (vector.size if size is None else size,):
        raise EvidenceRejected(
            f"model: got {vector.dtype} of shape {vector.shape}, want int64 of shape"
            f" ({'any number' if size is None else size},): another study's model?"
        )
    if vector.size and (vector.max() > MODEL_CAP or vector.min() < -MODEL_CAP):
        raise EvidenceRejected(f"model: got a coordinate beyond +-{MODEL_CAP}, want every coordinate within")
    model = Model(
        np.asarray(vector, dtype=np.int64), _scale(*map(tensors.__getitem__, _SCALE)) if len(tensors) > 1 else None
    )
    if model.to_bytes() != data:
        raise EvidenceRejected("model: got more than its tensors (metadata or padding), want the canonical bytes")
    return model


def _scale(means: npt.NDArray[np.float64], deviations: npt.NDArray[np.float64]) -> Scale:
    for tensor in (means, deviations):
        if tensor.dtype != np.float64 or tensor.shape != (means.size,) or not np.isfinite(tensor).all():
            raise EvidenceRejected(
                f"model: got a scale of {tensor.dtype} of shape {tensor.shape}, want as many means as deviations, all"
                " finite float64"
            )
    if not (deviations > 0).all():
        raise EvidenceRejected("model: got a deviation of 0 or less, want all above")
    return Scale(tuple(means.tolist()), tuple(deviations.tolist()))
