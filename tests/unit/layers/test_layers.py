"""Every layer's exact integer form against torch, and the bit budget that it stands on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.layers import LAYERS, AvgPool2d, Conv2d, Flatten, Layer, Linear, Network, ReLU, plan
from pipeline.layers.arrays import ArrayArithmetic, split_parameters
from pipeline.layers.conv2d import PooledConv2d
from pipeline.layers.table import from_plain, to_plain
from tests.support.tasks import LOGISTIC, MLP, ONE, SMALL_CNN

NETWORKS = {
    "logistic regression": LOGISTIC,
    "MLP": MLP,
    "small CNN": SMALL_CNN,
    "stride, padding and three channels": Network((3, 16, 16), (Conv2d(4, 3, stride=2, padding=1), ReLU(), Flatten(), Linear(3))),
    "padded convolution with wide pooling": Network((2, 12, 12), (Conv2d(3, 3, padding=1), AvgPool2d(4), ReLU(), Flatten(), Linear(4))),
    "strided convolution with pooling": Network((1, 19, 19), (Conv2d(4, 4, stride=3), AvgPool2d(2), Flatten(), Linear(2))),
    "pooling after ReLU": Network((1, 10, 10), (Conv2d(4, 3), ReLU(), AvgPool2d(2), Flatten(), Linear(2))),
    "pooling of the inputs": Network((1, 8, 8), (AvgPool2d(2), Flatten(), Linear(5), ReLU(), Linear(2))),
    "ReLU of the inputs": Network((6,), (ReLU(), Linear(2))),
}


def _torch_logits(network: Network, weights: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    model = torch.nn.Sequential(*(layer.torch(shape) for layer, shape in zip(network.layers, network.shapes, strict=False))).double()
    torch.nn.utils.vector_to_parameters(torch.tensor(weights / ONE), model.parameters())
    return model(torch.tensor(inputs / 256)).detach().numpy()


@pytest.mark.parametrize("name", NETWORKS)
def test_integer_logits_equal_torch_within_the_rounding_of_activations(name: str) -> None:
    network = NETWORKS[name]
    generator = np.random.default_rng(3)
    weights = (generator.standard_normal(network.size) * 0.2 * ONE).astype(np.int64)
    inputs = generator.integers(-255, 256, (16, *network.input_shape))
    steps = plan(network, 255)
    found = steps.logits(ArrayArithmetic(np), inputs[None], split_parameters(network, weights[None]))[0]
    expected = _torch_logits(network, weights, inputs)
    assert np.abs(found / 2 ** steps.steps[-1].output_bits - expected).max() < 0.01
    assert np.abs(expected).max() > 0.1
    assert np.abs(found).max() <= steps.logit_bound


def test_parameters_lie_in_the_order_of_torchs_state_dict() -> None:
    model = torch.nn.Sequential(*(layer.torch(shape) for layer, shape in zip(SMALL_CNN.layers, SMALL_CNN.shapes, strict=False)))
    expected = [(name, tuple(value.shape)) for name, value in model.state_dict().items()]
    assert [(parameter.name, parameter.shape) for parameter in SMALL_CNN.parameters] == expected


def test_several_models_on_one_batch_equal_one_model_at_a_time() -> None:
    generator = np.random.default_rng(4)
    weights = generator.integers(-ONE, ONE, (3, SMALL_CNN.size))
    inputs = generator.integers(0, 256, (1, 5, 1, 28, 28))
    steps, arithmetic = plan(SMALL_CNN, 255), ArrayArithmetic(np)
    together = steps.logits(arithmetic, inputs, split_parameters(SMALL_CNN, weights))
    apart = [steps.logits(arithmetic, inputs, split_parameters(SMALL_CNN, model[None]))[0] for model in weights]
    assert np.array_equal(together, np.stack(apart))


@settings(max_examples=40, deadline=None)
@given(
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    pool=st.sampled_from([2, 4]),
    channels=st.integers(1, 3),
    outputs=st.integers(1, 2),
    seed=st.integers(0, 1000),
)
def test_a_pooled_convolution_is_exactly_the_windows_sum_of_the_convolution(
    kernel: int, stride: int, padding: int, pool: int, channels: int, outputs: int, seed: int
) -> None:
    side = kernel - 2 * padding + stride * (outputs * pool - 1)
    if side < 1:
        return
    shape = (channels, side, side)
    generator = np.random.default_rng(seed)
    convolution, pooling, arithmetic = Conv2d(2, kernel, stride, padding), AvgPool2d(pool), ArrayArithmetic(np)
    x = generator.integers(-(2**19), 2**19, (1, 2, *shape))
    parameters = [generator.integers(-(2**19), 2**19, (1, *each)) for each in convolution.parameter_shapes(shape).values()]
    apart = convolution.evaluate(arithmetic, x, parameters, shape, 12)
    apart = pooling.evaluate(arithmetic, apart, [], convolution.output_shape(shape), 28)
    folded = convolution.fold(pooling)
    assert isinstance(folded, PooledConv2d)
    assert np.array_equal(folded.evaluate(arithmetic, x, parameters, shape, 12), apart)
    assert folded.output_shape(shape) == apart.shape[2:]


@given(st.lists(st.integers(-(2**62) + 1, 2**62 - 1), min_size=1, max_size=20), st.integers(0, 40), st.booleans())
def test_narrowing_is_the_floor_of_the_division(values: list[int], bits: int, rectify: bool) -> None:
    found = ArrayArithmetic(np).narrow(np.array(values), bits, rectify, 2**62 - 1)
    assert found.tolist() == [max(value // 2**bits, 0) if rectify else value // 2**bits for value in values]


def test_the_plan_folds_pooling_and_rectification_and_leaves_logits_exact() -> None:
    steps = plan(SMALL_CNN, 255).steps
    assert [step.name.count("layer") for step in steps] == [3, 3, 1, 1]
    assert [step.narrowing for step in steps] == [14, 18, 0, 0]
    assert [step.rectify for step in steps] == [True, True, False, False]
    assert [step.output_bits for step in steps] == [12, 12, 12, 28]


@pytest.mark.parametrize("name", NETWORKS)
def test_no_value_exceeds_its_bound_even_at_the_ends_of_every_range(name: str) -> None:
    network = NETWORKS[name]
    weights = np.full(network.size, 2**19, np.int64)
    inputs = np.full((1, 2, *network.input_shape), 255, np.int64)
    parameters = split_parameters(network, weights[None])
    x: np.ndarray = inputs
    for step in plan(network, 255).steps:
        own = [parameters[parameter.name] for parameter in step.parameters]
        x = step.layer.evaluate(ArrayArithmetic(np), x, own, step.input_shape, step.input_bits)
        assert 0 <= x.min() <= x.max() <= step.bound < 2**62
        x = ArrayArithmetic(np).narrow(x, step.narrowing, step.rectify, step.bound)
        assert x.max() <= step.output_bound


def test_a_network_that_could_wrap_is_refused_naming_the_layer() -> None:
    lenet = Network(
        (1, 28, 28),
        (Conv2d(20, 5), AvgPool2d(2), ReLU(), Conv2d(50, 5), AvgPool2d(2), ReLU(), Flatten(), Linear(500), ReLU(), Linear(2)),
    )
    with pytest.raises(ValueError, match=r"layer 9 \(Linear\).*less than 2\^62"):
        plan(lenet, 255)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Network((1, 4, 4), (Conv2d(2, 5),)), r"layer 0 \(Conv2d\) kernel_size 5 does not fit 4x4"),
        (Network((1, 5, 5), (AvgPool2d(2),)), r"layer 0 \(AvgPool2d\) takes .* sides divisible by 2"),
        (Network((1, 4, 4), (Linear(2),)), r"layer 0 \(Linear\) takes \(features,\)"),
        (Network((4,), (ReLU(), Conv2d(1, 1))), r"layer 1 \(Conv2d\) takes \(channels, height, width\)"),
    ],
)
def test_layers_that_do_not_fit_are_named(network: Network, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan(network, 255)


@pytest.mark.parametrize("arguments", [{"out_channels": 0, "kernel_size": 3}, {"out_channels": 1, "kernel_size": 3, "stride": 0}])
def test_a_convolution_of_nothing_is_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="from 1"):
        Conv2d(**arguments)


@pytest.mark.parametrize("size", [0, 1, 3, 6])
def test_a_window_that_is_no_power_of_two_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        AvgPool2d(size)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_survives_as_plain_data(name: str) -> None:
    assert from_plain(to_plain(NETWORKS[name])) == NETWORKS[name]


def test_every_layer_of_the_table_is_evaluated_by_these_tests() -> None:
    used: set[type[Layer]] = {type(layer) for network in NETWORKS.values() for layer in network.layers}
    assert used == set(LAYERS.values())
