"""Verification tasks with random payloads, for tests of the reference and of every engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pipeline.domain import HospitalName
from pipeline.layers import Layer, Network
from pipeline.layers.avg_pool2d import AvgPool2d
from pipeline.layers.conv2d import Conv2d
from pipeline.layers.flatten import Flatten
from pipeline.layers.global_avg_pool2d import GlobalAvgPool2d
from pipeline.layers.linear import Linear
from pipeline.layers.max_pool2d import MaxPool2d
from pipeline.layers.relu import ReLU
from pipeline.layers.relu6 import ReLU6
from pipeline.layers.residual import Residual
from pipeline.mpc.engines.base import RuleParameters, VerifyTask

Words = npt.NDArray[np.int64]

ONE = 1 << 16
"""1.0 of an update."""

LOGISTIC = Network((30,), (Linear(2),))
MLP = Network((30,), (Linear(64), ReLU(), Linear(2)))


def small_cnn(pooling: type[AvgPool2d | MaxPool2d]) -> Network:
    """Two convolutions, 3,938 parameters."""
    first = (Conv2d(8, 5), pooling(2), ReLU())
    second = (Conv2d(16, 5), pooling(2), ReLU())
    return Network((1, 28, 28), (*first, *second, Flatten(), Linear(2)))


def lenet(pooling: type[AvgPool2d | MaxPool2d], classes: int = 2) -> Network:
    """LeNet 20/50/500, 427,072 parameters for two classes."""
    first = (Conv2d(20, 5), pooling(2), ReLU())
    second = (Conv2d(50, 5), pooling(2), ReLU())
    return Network((1, 28, 28), (*first, *second, Flatten(), Linear(500), ReLU(), Linear(classes)))


def residual(widths: Sequence[int], side: int, classes: int = 2) -> Network:
    """A network without normalisation: by width a convolution that halves the sides, and a block of two more."""
    layers: list[Layer] = []
    for width in widths:
        block = Residual((Conv2d(width, 3, padding=1), ReLU6(), Conv2d(width, 3, padding=1)))
        layers += [Conv2d(width, 3, stride=2, padding=1), ReLU6(), block, ReLU6()]
    return Network((1, side, side), (*layers, GlobalAvgPool2d(), Linear(classes)))


SMALL_CNN = small_cnn(AvgPool2d)
_CONVOLUTIONS = (Conv2d(4, 3, padding=1), ReLU6(), Conv2d(4, 3, padding=1))
RESIDUAL = Network(
    (2, 8, 8),
    (
        *(Residual((Conv2d(3, 1), ReLU(), Conv2d(2, 3, padding=1))), Conv2d(4, 3, padding=1), ReLU6()),
        *(Residual(_CONVOLUTIONS), ReLU6(), Residual((ReLU(), *_CONVOLUTIONS)), MaxPool2d(2), ReLU6()),
        *(GlobalAvgPool2d(), Linear(3)),
    ),
)
"""A block of the inputs, one before and one after its activation: seven weighted layers in turn."""


def payload(update: Words, inputs: Words, labels: Sequence[int] | Words, classes: int = 2) -> Words:
    """The vector that a hospital shares; labels as class numbers or as given rows."""
    rows = np.asarray(labels)
    one_hot = np.eye(classes, dtype=np.int64)[rows] if rows.ndim == 1 else rows
    return np.concatenate([update.ravel(), inputs.ravel(), one_hot.ravel()]).astype(np.int64)


def random_round(
    network: Network,
    hospitals: int = 5,
    samples: int = 8,
    budget: int | None = None,
    seed: int = 0,
    scale: float = 0.05,
) -> tuple[VerifyTask, dict[HospitalName, Words]]:
    """A task with random models and inputs, and each hospital's payload."""
    generator = np.random.default_rng(seed)
    names = tuple(HospitalName(f"hospital-{place}") for place in range(hospitals))
    # large networks within the caps on norms
    scale = min(scale, 12 / network.size**0.5)
    previous = (generator.standard_normal(network.size) * min(0.1, 32 / network.size**0.5) * ONE).astype(np.int64)
    payloads = {
        name: payload(
            (generator.standard_normal(network.size) * scale * ONE).astype(np.int64),
            generator.integers(0, 256, (samples, *network.input_shape)),
            generator.integers(0, network.classes, samples),
            network.classes,
        )
        for name in names
    }
    return VerifyTask(names, network, RuleParameters(samples, (0, 255), 20, 20, budget, 30, 30), previous), payloads


def with_update(payloads: Mapping[HospitalName, Words], hospital: int, update: Words) -> dict[HospitalName, Words]:
    """The payloads with one hospital's update replaced."""
    name = list(payloads)[hospital]
    return dict(payloads) | {name: np.concatenate([update, payloads[name][len(update) :]])}


def in_later_round(task: VerifyTask, budget: int) -> VerifyTask:
    """The task with a budget in force."""
    return replace(task, rule=replace(task.rule, budget=budget))
