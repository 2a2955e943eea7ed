"""What evaluations are counted to take: by hand for small networks, and beside what a real one does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from pipeline.layers import CHECKED, Network, Work, plan
from pipeline.layers.arrays import ArrayArithmetic, split_parameters
from pipeline.layers.avg_pool2d import AvgPool2d
from pipeline.layers.conv2d import Conv2d
from pipeline.layers.flatten import Flatten
from pipeline.layers.linear import Linear
from pipeline.layers.max_pool2d import MaxPool2d
from pipeline.layers.relu import ReLU
from tests.support.tasks import LOGISTIC, MLP, ONE, RESIDUAL, lenet, small_cnn

NETWORKS = {
    "logistic regression": LOGISTIC,
    "MLP": MLP,
    "small CNN, average": small_cnn(AvgPool2d),
    "small CNN, maximum": small_cnn(MaxPool2d),
    "LeNet, average": lenet(AvgPool2d),
    "LeNet, maximum of three classes": lenet(MaxPool2d, classes=3),
    "windows of nine": Network((3, 6, 6), (Conv2d(2, 1), ReLU(), MaxPool2d(3), Flatten(), Linear(2))),
    "stride and padding": Network((3, 16, 16), (Conv2d(4, 3, stride=2, padding=1), ReLU(), Flatten(), Linear(3))),
    "blocks": RESIDUAL,
    "pooling of the inputs": Network((1, 8, 8), (AvgPool2d(2), Flatten(), Linear(5), ReLU(), Linear(2))),
}


class Watched(ArrayArithmetic):
    """Counts what it does, on real numbers."""

    def __init__(self) -> None:
        super().__init__(np)
        self.work = Work()

    def multiply(self, x: Any, weight: Any) -> Any:
        self.work += Work(products=math.prod(x.shape) * weight.shape[1])
        return super().multiply(x, weight)

    def maximum(self, candidates: Sequence[Any], bound: int) -> Any:
        chosen = sum(candidate.size for candidate in candidates[1:])
        self.work += Work(chosen, chosen)
        return super().maximum(candidates, bound)

    def minimum(self, x: Any, limit: int, bound: int) -> Any:
        self.work += Work(x.size, x.size)
        return super().minimum(x, limit, bound)

    def narrow(self, x: Any, bits: int, rectify: bool, bound: int) -> Any:
        self.work += Work(x.size if rectify else 0, x.size)
        return super().narrow(x, bits, rectify, bound)


def test_a_convolution_its_relu_and_a_linear_layer_are_counted_as_by_hand() -> None:
    network = Network((1, 4, 4), (Conv2d(2, 3), ReLU(), Flatten(), Linear(2)))
    convolved = Work(products=2 * 4 * 9 + 8, comparisons=8)  # 2 channels of 2 x 2, kernels of 9; 8 values rectified
    linear = Work(products=8 * 2)
    first, flat, last = plan(network, 255, CHECKED).steps
    assert [step.work() for step in (first, flat, last)] == [convolved, Work(), linear]
    answer = Work(1, 1)
    assert plan(network, 255, CHECKED).work() == convolved + linear + answer == Work(97, 9)


def test_pooling_by_maximum_compares_all_but_one_of_a_window_and_rectifies_the_winners() -> None:
    network = Network((1, 4, 4), (Conv2d(2, 3, padding=1), ReLU(), MaxPool2d(2), Flatten(), Linear(2)))
    # 32 results of 9 products; 8 windows of 4; 8 winners rectified; 8 x 2 weights; one of two logits
    assert plan(network, 255, CHECKED).work() == Work(288 + 24 + 8 + 16 + 1, 24 + 8 + 1)


def test_pooling_by_average_is_summed_in_inputs_or_in_a_wider_kernel() -> None:
    steps = plan(Network((1, 6, 6), (Conv2d(2, 3), AvgPool2d(2), ReLU(), Flatten(), Linear(2))), 255, CHECKED)
    assert steps.steps[0].work() == Work(8 * 9 + 8, 8)
    assert steps.steps[0].work(merges_kernels=True) == Work(8 * 16 + 8, 8)


@pytest.mark.parametrize("name", NETWORKS)
def test_counts_are_those_of_an_evaluation_of_numbers(name: str) -> None:
    network = NETWORKS[name]
    generator = np.random.default_rng(0)
    models = split_parameters(network, generator.integers(-ONE, ONE, (1, network.size)))
    watched = Watched()
    steps = plan(network, 255, CHECKED)
    steps.logits(watched, generator.integers(0, 256, (1, 1, *network.input_shape)), models)
    others = network.classes - 1
    assert watched.work + Work(others, others) == steps.work(merges_kernels=True)


def test_products_weigh_a_two_hundredth_of_a_comparison_rounded_up() -> None:
    assert [Work(products, 5).in_comparisons for products in (0, 1, 200, 201)] == [5, 6, 6, 7]
