"""The model with which a study begins, drawn from its seed without torch: nodes and provider draw it, too."""

from __future__ import annotations

import math

import numpy as np

from pipeline.domain import UPDATE_BITS
from pipeline.model_file import Vector
from pipeline.study.study import Study


def initial_model(study: Study) -> Vector:
    """The model of round 0: weights uniform in +-1/sqrt(fan-in) from Philox words of the study's seed, biases zero."""
    network = study.network
    words = np.random.Philox(key=study.seed).random_raw(network.size)
    uniform = (words >> np.uint64(11)).astype(np.float64) / (1 << 52) - 1.0  # in [-1, 1), exact
    vector = np.zeros(network.size, dtype=np.int64)
    for parameter in network.parameters:
        if len(parameter.shape) > 1:
            coordinates = slice(parameter.offset, parameter.offset + parameter.size)
            bound = (1 << UPDATE_BITS) / math.sqrt(math.prod(parameter.shape[1:]))
            vector[coordinates] = np.rint(uniform[coordinates] * bound).astype(np.int64)
    return vector
