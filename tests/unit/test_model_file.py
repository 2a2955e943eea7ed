"""A model's one serialisation, and what is refused as a model."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import save

from pipeline.domain import MODEL_CAP
from pipeline.errors import EvidenceRejected
from pipeline.model_file import Vector, model_bytes, parse_model
from tests.adversary import attack

VECTOR = np.arange(-3, 4, dtype=np.int64)


@given(arrays(np.int64, st.integers(1, 40), elements=st.integers(-MODEL_CAP, MODEL_CAP)))
def test_a_model_survives_its_bytes(vector: Vector) -> None:
    assert parse_model(model_bytes(vector), len(vector)).tolist() == vector.tolist()


def test_a_view_of_a_vector_has_the_bytes_of_its_copy() -> None:
    assert model_bytes(np.repeat(VECTOR, 2)[::2]) == model_bytes(VECTOR)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no safetensors file"),
        (b"\x08\x00\x00\x00\x00\x00\x00\x00{}", "no safetensors file|got tensors"),
        (model_bytes(VECTOR)[:-1], "no safetensors file"),
        (model_bytes(VECTOR) + b"\0", "no safetensors file"),
        (save({"weights": VECTOR}), "got tensors weights, want one named parameters"),
        (save({"parameters": VECTOR, "more": VECTOR}), "got tensors more, parameters"),
        (save({"parameters": VECTOR.astype(np.int32)}), "got int32"),
        (save({"parameters": VECTOR.astype(np.float64)}), "got float64"),
        (save({"parameters": VECTOR[None]}), r"got int64 of shape \(1, 7\)"),
        (model_bytes(VECTOR[1:]), r"want int64 of shape \(7,\)"),
        (model_bytes(np.full(7, MODEL_CAP + 1)), "beyond"),
        (model_bytes(np.full(7, -MODEL_CAP - 1)), "beyond"),
        (save({"parameters": VECTOR}, metadata={"note": "hidden"}), "canonical bytes"),
    ],
)
@attack(
    by="node",
    to="stop",
    tries="to crash whoever reads a model, by a file of another form",
    costs="nothing",
    seen="the file, refused with the reason",
)
def test_anything_but_one_canonical_tensor_of_the_right_length_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(EvidenceRejected, match=message):
        parse_model(data, 7)
