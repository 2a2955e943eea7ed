"""MP-SPDZ's own layers on the same shapes, inputs and parties: what our programs are measured against."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.domain import EngineStats
from pipeline.evidence.canonical import sha256
from pipeline.layers import Network
from pipeline.layers.conv2d import Conv2d
from pipeline.layers.flatten import Flatten
from pipeline.layers.linear import Linear
from pipeline.layers.table import to_plain
from pipeline.mpc.engines.base import Party, Task, VerifyTask
from pipeline.mpc.engines.mp_spdz import programs
from pipeline.mpc.engines.mp_spdz.engine import MpSpdz
from pipeline.mpc.engines.mp_spdz.profiles import Profile

Words = npt.NDArray[np.int64]

_PROGRAM = Path(__file__).with_name("stock.mpc")
_WEIGHT_BITS = 16
_INPUT_BITS = 8


class StockLayers(MpSpdz):
    """One party's part of counting the models' correct answers."""

    def count(
        self, task: VerifyTask, models: int, components: dict[int, Words], party: Party
    ) -> tuple[Words, EngineStats]:
        """Correct answers per model; `components` are those of `vector`."""
        self._models = models
        return self._run("stock", "replicated-ring", task, lambda: [components], models, party)

    def _compiled(self, protocol: str, task: Task, profile: Profile) -> Path:
        assert isinstance(task, VerifyTask)
        shape = {
            "source": sha256(_PROGRAM.read_bytes()),
            "images": len(task.hospitals) * task.rule.samples,
            "models": self._models,
            "network": to_plain(task.network),
        }
        return programs.compiled("stock", shape, installation=self._home, cache=self._cache, sources=_PROGRAM.parent)


def vector(network: Network, weights: Words, inputs: Words, labels: Words) -> Words:
    """All that stock.mpc reads, as one vector.

    `weights` (models, parameters), `inputs` (images, *input_shape), `labels` (images,) as class numbers.
    """
    images = np.moveaxis(inputs, 1, -1) if inputs.ndim == 4 else inputs
    parts = [images.ravel() << (_WEIGHT_BITS - _INPUT_BITS), labels]
    for model in weights:
        parts += [_laid_out(network, index, model) for index in range(len(network.layers))]
    return np.concatenate(parts).astype(np.int64)


def _laid_out(network: Network, index: int, model: Words) -> Words:
    """A layer's weights and bias, channels last, inputs before outputs in a matrix."""
    layer = network.layers[index]
    parameters = [parameter for parameter in network.parameters if parameter.name.startswith(f"{index}.")]
    if not parameters:
        return np.empty(0, np.int64)
    weight, bias = (
        model[parameter.offset : parameter.offset + int(np.prod(parameter.shape))].reshape(parameter.shape)
        for parameter in parameters
    )
    if isinstance(layer, Conv2d):
        weight = weight.transpose(0, 2, 3, 1)
    elif isinstance(layer, Linear):
        before = network.shapes[index - 1] if index and isinstance(network.layers[index - 1], Flatten) else ()
        if len(before) == 3:
            weight = weight.reshape(-1, *before).transpose(0, 2, 3, 1).reshape(len(weight), -1)
        weight = weight.T
    return np.concatenate([weight.ravel(), bias.ravel()])
