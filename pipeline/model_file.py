"""A model on disk and in the store: safetensors bytes of one int64 tensor named "parameters"."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from pipeline.domain import MODEL_CAP
from pipeline.errors import EvidenceRejected

Vector = npt.NDArray[np.int64]
"""All parameters in the order of `Network.parameters`, (P,) int64 with 16 fractional bits."""

_TENSOR = "parameters"


def model_bytes(vector: Vector) -> bytes:
    """The one serialisation of a model; its SHA-256 is the model's identity."""
    return bytes(save({_TENSOR: np.ascontiguousarray(vector, dtype="<i8")}))


def parse_model(data: bytes, size: int) -> Vector:
    """The vector of `size` coordinates in `data`; raises EvidenceRejected when it holds anything else."""
    try:
        tensors = load(data)
    except (SafetensorError, KeyError, ValueError) as error:
        raise EvidenceRejected(
            f"model: got {len(data)} bytes that are no safetensors file; fetch the model again"
        ) from error
    vector = tensors.get(_TENSOR)
    if vector is None or len(tensors) != 1:
        raise EvidenceRejected(f"model: got tensors {', '.join(sorted(tensors)) or 'none'}, want one named {_TENSOR}")
    if vector.dtype != np.int64 or vector.shape != (size,):
        raise EvidenceRejected(
            f"model: got {vector.dtype} of shape {vector.shape}, want int64 of shape ({size},): another study's model?"
        )
    if size and (vector.max() > MODEL_CAP or vector.min() < -MODEL_CAP):
        raise EvidenceRejected(f"model: got a coordinate beyond +-{MODEL_CAP}, want every coordinate within")
    if model_bytes(vector) != data:
        raise EvidenceRejected("model: got more than the tensor itself (metadata or padding), want the canonical bytes")
    return np.asarray(vector, dtype=np.int64)
