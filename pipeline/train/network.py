"""A study's network as torch, and models as flat integer vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pipeline.domain import INPUT_BITS, UPDATE_BITS
from pipeline.layers import Network
from pipeline.layers.sequential import sequential
from pipeline.model_file import Vector

if TYPE_CHECKING:
    import torch

    from pipeline.datasets import Samples


def module(network: Network, vector: Vector) -> torch.nn.Sequential:
    """The network as a torch module with the parameters of `vector`, exact in float32."""
    import torch

    with torch.device("meta"):  # without torch's own first values, which would be drawn from the global random state
        made = sequential(network)
    weights = (vector / (1 << UPDATE_BITS)).astype(np.float32)
    state = {
        parameter.name: torch.from_numpy(
            weights[parameter.offset : parameter.offset + parameter.size].reshape(parameter.shape).copy()
        )
        for parameter in network.parameters
    }
    made.load_state_dict(state, assign=True)
    return made


def tensors(samples: Samples) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs (n, *shape) float32 and labels (n,) int64."""
    import torch

    return torch.from_numpy(samples.inputs.astype(np.float32) / (1 << INPUT_BITS)), torch.from_numpy(samples.labels)


def probabilities(vector: Vector, network: Network, inputs: npt.NDArray[np.int16]) -> npt.NDArray[np.float64]:
    """Softmax of a model's answers to inputs (n, *shape) with 8 fractional bits, (n, classes)."""
    import torch

    numbers = torch.from_numpy(inputs.astype(np.float32) / (1 << INPUT_BITS))
    with torch.inference_mode():
        shares = module(network, vector)(numbers).softmax(dim=1).numpy()
    return np.asarray(shares, dtype=np.float64)


def accuracy(vector: Vector, network: Network, samples: Samples) -> tuple[int, int]:
    """Correct answers of a model and the number of samples tested."""
    answers = probabilities(vector, network, samples.inputs).argmax(axis=1)
    return int((answers == samples.labels).sum()), len(samples)
