"""A backbone run by ONNX Runtime: one thread, and errors that quote nothing of a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import EvidenceRejected

if TYPE_CHECKING:
    import onnxruntime

_WARNINGS_OFF = 4
"""ONNX Runtime's severity `fatal`: it may quote a value in what it warns of."""


class NoFeatures(Exception):
    """What a backbone makes of a picture is no features; says why, to stand behind the picture's name."""


def opened(data: bytes) -> Any:
    """A session of a graph's bytes; raises EvidenceRejected."""
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
        failure = type(error).__name__
    raise EvidenceRejected(
        f"backbone: got a graph that ONNX Runtime does not load ({failure}), want one that it does; export it again"
    )


def run(session: onnxruntime.InferenceSession, output: str, batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The named output (n, features) for pictures (n, channels, height, width); raises NoFeatures."""
    try:
        features: npt.NDArray[np.float32] = session.run([output], {session.get_inputs()[0].name: batch})[0]
    except Exception as error:
        failure = type(error).__name__
    else:
        if np.isfinite(features).all():
            return features
        raise NoFeatures("features that are NaN or infinity")
    # Raised outside the handler: what ONNX Runtime says may quote a value.
    raise NoFeatures(f"no features (ONNX Runtime ended with {failure})")
