"""Local training of many hospitals at once: the product's SGD, one batch dimension for the hospitals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from benchmarks.poisoning.kinds import Generator, Poison, Stamp, Update, Updates
from pipeline.datasets import Samples
from pipeline.domain import INPUT_BITS
from pipeline.layers import Network
from pipeline.layers.avg_pool2d import AvgPool2d
from pipeline.layers.conv2d import Conv2d
from pipeline.layers.flatten import Flatten
from pipeline.layers.linear import Linear
from pipeline.layers.relu import ReLU
from pipeline.study.fields import Training

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Trainee:
    """One hospital's training records as tensors."""

    samples: Samples

    @cached_property
    def inputs(self) -> torch.Tensor:
        """(n, *shape) float32."""
        import torch

        return torch.from_numpy(self.samples.inputs.astype(np.float32) / (1 << INPUT_BITS))

    @cached_property
    def labels(self) -> torch.Tensor:
        """(n,) int64."""
        import torch

        return torch.from_numpy(self.samples.labels)

    @cached_property
    def classes(self) -> list[npt.NDArray[np.int64]]:
        """Rows of each class that there is."""
        return [np.flatnonzero(self.samples.labels == label) for label in np.unique(self.samples.labels)]


def logits(network: Network, vectors: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """(hospitals, batch, classes) of models (hospitals, P) on inputs (hospitals, batch, *shape)."""
    import torch
    import torch.nn.functional as torch_nn

    count, batch = inputs.shape[:2]
    values = {p.name: vectors[:, p.offset : p.offset + p.size].reshape(count, *p.shape) for p in network.parameters}
    # images travel as (batch, hospitals * channels, h, w), so that one grouped convolution serves all hospitals
    images = len(network.input_shape) == 3
    x = inputs.transpose(0, 1).reshape(batch, -1, *inputs.shape[3:]) if images else inputs
    index = 0
    while index < len(network.layers):
        layer = network.layers[index]
        following = network.layers[index + 1] if index + 1 < len(network.layers) else None
        match layer:
            case Conv2d():
                weight = values[f"{index}.weight"].flatten(0, 1)
                bias = values[f"{index}.bias"].flatten()
                stride = layer.stride
                if isinstance(following, AvgPool2d) and not layer.padding and layer.stride == 1:
                    # averaging commutes with the convolution: fewer outputs are computed
                    x = torch_nn.avg_pool2d(x, following.kernel_size, 1)
                    stride = following.kernel_size
                    index = index + 1
                x = torch_nn.conv2d(x, weight, bias, stride, layer.padding, groups=count)
            case AvgPool2d():
                x = torch_nn.avg_pool2d(x, layer.kernel_size)
            case ReLU():
                x = torch_nn.relu(x)
            case Flatten():
                x = x.reshape(batch, count, -1).transpose(0, 1)
            case Linear():
                x = torch.baddbmm(values[f"{index}.bias"].unsqueeze(1), x, values[f"{index}.weight"].transpose(1, 2))
            case _:
                raise TypeError(f"{type(layer).__name__}: no batched form")
        index += 1
    return x


@dataclass(frozen=True)
class Trainer:
    """The study's training settings on one network."""

    network: Network
    settings: Training
    stamp: Stamp
    """Of poison that carries a trigger."""

    def __call__(
        self,
        trainees: Sequence[Trainee],
        model: Update,
        finished: int,
        rngs: Sequence[Generator],
        *,
        poison: Poison | None = None,
        effort: int = 1,
        radius: float | None = None,
        allowed: npt.NDArray[np.bool_] | None = None,
        start: Update | None = None,
    ) -> Updates:
        """Updates (trainees, P) of training from `model`, each by its own generator and poisoned with `poison`.

        With `radius` the update stays in a ball; with `allowed` (P,) only these coordinates change; `start` is an
        update to go on from.
        """
        import torch
        import torch.nn.functional as torch_nn

        settings = self.settings
        count = len(trainees)
        rate = settings.learning_rate * settings.decay**finished
        origin = torch.from_numpy(np.asarray(model, dtype=np.float32)).expand(count, -1)
        weights = (origin if start is None else origin + torch.from_numpy(start.astype(np.float32))).clone()
        mask = None if allowed is None else torch.from_numpy(allowed.astype(np.float32))
        velocity = torch.zeros_like(weights)
        rows = [self._rows(trainee, settings.steps * effort, rng) for trainee, rng in zip(trainees, rngs, strict=True)]
        for step in range(settings.steps * effort):
            inputs = torch.stack(
                [trainee.inputs[batches[step]] for trainee, batches in zip(trainees, rows, strict=True)]
            )
            labels = torch.stack(
                [trainee.labels[batches[step]] for trainee, batches in zip(trainees, rows, strict=True)]
            )
            if poison is not None:
                for row in range(count):
                    inputs[row], labels[row] = poison(inputs[row], labels[row], row, rngs[row], self.stamp)
            leaf = weights.requires_grad_()
            scores = logits(self.network, leaf, inputs)
            loss = torch_nn.cross_entropy(scores.flatten(0, 1), labels.flatten(), reduction="sum") / labels.shape[1]
            (gradient,) = torch.autograd.grad(loss, leaf)
            with torch.no_grad():
                velocity = settings.momentum * velocity + gradient + settings.weight_decay * weights
                weights = (weights - rate * (velocity if mask is None else velocity * mask)).detach()
                if radius is not None:
                    away = weights - origin
                    weights = origin + away * (radius / away.norm(dim=1, keepdim=True).clamp_min(1e-30)).clamp_max(1.0)
        return np.asarray((weights - origin).detach().numpy(), dtype=np.float64)

    def _rows(self, trainee: Trainee, steps: int, rng: Generator) -> torch.Tensor:
        import torch

        per_class = max(1, self.settings.batch_size // len(trainee.classes))
        return torch.from_numpy(
            np.concatenate(
                [class_rows[rng.integers(len(class_rows), size=(steps, per_class))] for class_rows in trainee.classes],
                axis=1,
            )
        )


def answers(network: Network, model: Update, inputs: torch.Tensor) -> npt.NDArray[np.int64]:
    """Predicted class of each sample."""
    import torch

    with torch.inference_mode():
        scores = logits(network, torch.from_numpy(np.asarray(model, dtype=np.float32))[None], inputs[None])
    return np.asarray(scores[0].argmax(dim=1).numpy())
