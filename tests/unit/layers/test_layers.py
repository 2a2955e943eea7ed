"""Every layer's exact integer form against torch, and the bit budget that it stands on."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

import pipeline.layers
from pipeline.layers import CHECKED, LAYERS, PROJECTED, Layer, Network, Values, WeightBounds, plan
from pipeline.layers.addition import Addition
from pipeline.layers.arithmetic import VALUE_LIMIT
from pipeline.layers.arrays import ArrayArithmetic, split_parameters
from pipeline.layers.avg_pool2d import AvgPool2d
from pipeline.layers.conv2d import Conv2d, PooledConv2d
from pipeline.layers.flatten import Flatten
from pipeline.layers.global_avg_pool2d import GlobalAvgPool2d
from pipeline.layers.linear import Linear
from pipeline.layers.max_pool2d import MaxPool2d
from pipeline.layers.relu import ReLU
from pipeline.layers.relu6 import Ceiling, ReLU6
from pipeline.layers.residual import Residual
from pipeline.layers.sequential import sequential
from pipeline.layers.table import from_plain, layers_among, to_plain
from tests.support.tasks import LOGISTIC, MLP, ONE, SMALL_CNN, lenet, small_cnn

CONVOLUTIONS = (Conv2d(4, 3, padding=1), ReLU6(), Conv2d(4, 3, padding=1))
NETWORKS = {
    "logistic regression": LOGISTIC,
    "MLP": MLP,
    "small CNN": SMALL_CNN,
    "stride, padding and three channels": Network(
        (3, 16, 16), (Conv2d(4, 3, stride=2, padding=1), ReLU(), Flatten(), Linear(3))
    ),
    "padded convolution with wide pooling": Network(
        (2, 12, 12), (Conv2d(3, 3, padding=1), AvgPool2d(4), ReLU(), Flatten(), Linear(4))
    ),
    "strided convolution with pooling": Network(
        (1, 19, 19), (Conv2d(4, 4, stride=3), AvgPool2d(2), Flatten(), Linear(2))
    ),
    "pooling after ReLU": Network((1, 10, 10), (Conv2d(4, 3), ReLU(), AvgPool2d(2), Flatten(), Linear(2))),
    "pooling of the inputs": Network((1, 8, 8), (AvgPool2d(2), Flatten(), Linear(5), ReLU(), Linear(2))),
    "maximum before and after ReLU": Network(
        (1, 18, 18), (Conv2d(4, 3), ReLU(), MaxPool2d(2), Conv2d(3, 3), MaxPool2d(3), ReLU(), Flatten(), Linear(3))
    ),
    "maximum of the inputs": Network((3, 6, 6), (MaxPool2d(3), Flatten(), Linear(2))),
    "maximum of averages": Network(
        (1, 16, 16), (Conv2d(2, 1), ReLU(), AvgPool2d(2), MaxPool2d(4), Flatten(), Linear(2))
    ),
    "LeNet, average pooling": lenet(AvgPool2d),
    "LeNet, maximum pooling": lenet(MaxPool2d, classes=3),
    "ReLU of the inputs": Network((6,), (ReLU(), Linear(2))),
    "a ceiling on inputs and results": Network((8,), (ReLU6(), Linear(30), ReLU6(), Linear(30), ReLU6(), Linear(2))),
    "a ceiling before maximum and averages": Network(
        (1, 16, 16), (Conv2d(4, 3, padding=1), ReLU6(), MaxPool2d(2), ReLU6(), GlobalAvgPool2d(), Linear(2))
    ),
    "a block of the inputs": Network((5,), (Residual((Linear(7), ReLU(), Linear(5))), ReLU(), Linear(2))),
    "a block before and after its activation": Network(
        (2, 8, 8),
        (
            *(Conv2d(4, 3, padding=1), ReLU()),
            *(Residual(CONVOLUTIONS), ReLU(), Residual((ReLU(), *CONVOLUTIONS))),
            *(AvgPool2d(2), ReLU6(), Flatten(), Linear(3)),
        ),
    ),
    "blocks one after another and in one another": Network(
        (1, 8, 8),
        (
            *(Conv2d(4, 3, padding=1), ReLU6()),
            *(Residual(CONVOLUTIONS), ReLU6()) * 2,
            *(Residual((Residual(CONVOLUTIONS), ReLU6(), Conv2d(4, 1))), MaxPool2d(2), ReLU6()),
            *(GlobalAvgPool2d(), Linear(2)),
        ),
    ),
}


def _torch_logits(network: Network, weights: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    import torch

    model = sequential(network).double()
    torch.nn.utils.vector_to_parameters(torch.tensor(weights / ONE), model.parameters())
    return model(torch.tensor(inputs / 256)).detach().numpy()


@pytest.mark.parametrize("name", NETWORKS)
def test_integer_logits_equal_torch_within_the_rounding_of_activations(name: str) -> None:
    network = NETWORKS[name]
    generator = np.random.default_rng(3)
    weights = (generator.standard_normal(network.size) * 0.2 * ONE).astype(np.int64)
    inputs = generator.integers(-255, 256, (16, *network.input_shape))
    steps = plan(network, 255, CHECKED)
    found = steps.logits(ArrayArithmetic(np), inputs[None], split_parameters(network, weights[None]))[0]
    expected = _torch_logits(network, weights, inputs)
    assert np.abs(found / 2 ** steps.steps[-1].outputs.bits - expected).max() < 0.01 * max(
        1, np.abs(expected).max() / 10
    )
    assert np.abs(expected).max() > 0.1
    assert np.abs(found).max() <= steps.logit_bound


def test_parameters_lie_in_the_order_of_torchs_state_dict() -> None:
    for network in (SMALL_CNN, NETWORKS["a block before and after its activation"]):
        expected = [(name, tuple(value.shape)) for name, value in sequential(network).state_dict().items()]
        assert [(parameter.name, parameter.shape) for parameter in network.parameters] == expected


def test_several_models_on_one_batch_equal_one_model_at_a_time() -> None:
    generator = np.random.default_rng(4)
    weights = generator.integers(-ONE, ONE, (3, SMALL_CNN.size))
    inputs = generator.integers(0, 256, (1, 5, 1, 28, 28))
    steps = plan(SMALL_CNN, 255, CHECKED)
    arithmetic = ArrayArithmetic(np)
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
    convolution = Conv2d(2, kernel, stride, padding)
    pooling = AvgPool2d(pool)
    arithmetic = ArrayArithmetic(np)
    x = generator.integers(-(2**19), 2**19, (1, 2, *shape))
    parameters = [
        generator.integers(-(2**19), 2**19, (1, *each)) for each in convolution.parameter_shapes(shape).values()
    ]
    values = Values.within(shape, 12, 2**19)
    apart = convolution.evaluate(arithmetic, x, parameters, values)
    apart = pooling.evaluate(arithmetic, apart, [], convolution.outcome(values, CHECKED))
    folded = convolution.fold(pooling)
    assert isinstance(folded, PooledConv2d)
    assert np.array_equal(folded.evaluate(arithmetic, x, parameters, values), apart)
    assert folded.form(shape).output_shape == apart.shape[2:]


@given(st.lists(st.integers(-(2**62) + 1, 2**62 - 1), min_size=1, max_size=20), st.integers(0, 40), st.booleans())
def test_narrowing_is_the_floor_of_the_division(values: list[int], bits: int, rectify: bool) -> None:
    found = ArrayArithmetic(np).narrow(np.array(values), bits, rectify, 2**62 - 1)
    assert found.tolist() == [max(value // 2**bits, 0) if rectify else value // 2**bits for value in values]


def test_the_plan_folds_pooling_and_narrows_only_where_the_next_layer_could_wrap() -> None:
    steps = plan(SMALL_CNN, 255, CHECKED).steps
    assert [step.name.count("layer") for step in steps] == [3, 3, 1, 1]
    assert [step.narrowing for step in steps] == [0, 32, 0, 0]
    assert [step.rectify for step in steps] == [True, True, False, False]
    assert [step.outputs.bits for step in steps] == [26, 12, 12, 28]
    assert [step.narrowing for step in plan(MLP, 255, CHECKED).steps] == [0, 0]
    assert [step.narrowing for step in plan(lenet(AvgPool2d), 255, CHECKED).steps] == [0, 32, 0, 16, 0]


def test_the_plan_narrows_and_rectifies_only_the_winners_of_a_maximum() -> None:
    steps = plan(small_cnn(MaxPool2d), 255, CHECKED).steps
    assert [step.narrowing for step in steps] == [0, 0, 0, 28, 0, 0]
    assert [step.rectify for step in steps] == [False, True, False, True, False, False]
    assert [step.outputs.bits for step in steps] == [24, 24, 40, 12, 12, 28]


def _follow_every_value(network: Network, bounds: WeightBounds, weights: np.ndarray, inputs: np.ndarray) -> None:
    """Evaluate step by step and compare with each step's bounds."""
    assert np.abs(weights).max() <= bounds.largest
    assert int(weights @ weights) <= bounds.norm**2
    parameters = split_parameters(network, weights[None])
    x: np.ndarray = inputs[None]
    results = {-1: x}
    for index, step in enumerate(plan(network, 255, bounds).steps):
        operands = [parameters[parameter.name] for parameter in step.parameters]
        if step.adds is not None:
            operands = [results[step.adds]]
        x = step.form.evaluate(ArrayArithmetic(np), x, operands, step.inputs)
        for values in (step.raw, step.outputs):
            assert x.shape[2:] == values.shape
            for sample in x[0].astype(object).reshape(x.shape[1], values.shape[0], -1):
                assert np.abs(sample).max() <= values.largest < 2**62
                assert (sample**2).sum() <= values.norm**2
                assert (np.abs(sample).max(axis=1) ** 2).sum() <= values.across**2
            if values is step.raw:
                x = ArrayArithmetic(np).narrow(x, step.narrowing, step.rectify, step.bound)
        results[index] = x


def _at_the_caps(network: Network, bounds: WeightBounds, rows: int | None) -> np.ndarray:
    """Weights as large as the caps allow, in the first `rows` outputs of every layer or in all."""
    chosen = np.zeros(network.size, bool)
    for parameter in network.parameters:
        width = parameter.size // parameter.shape[0]
        chosen[parameter.offset : parameter.offset + width * min(rows or parameter.shape[0], parameter.shape[0])] = True
    return chosen * min(bounds.largest, math.isqrt(bounds.norm**2 // int(chosen.sum())))


@pytest.mark.parametrize("bounds", [CHECKED, PROJECTED], ids=["checked", "projected"])
@pytest.mark.parametrize("rows", [None, 1])
@pytest.mark.parametrize("name", NETWORKS)
def test_no_value_exceeds_its_bounds_even_at_the_ends_of_every_range(
    name: str, rows: int | None, bounds: WeightBounds
) -> None:
    network = NETWORKS[name]
    inputs = np.full((1, *network.input_shape), 255)
    for sign in (1, -1):
        _follow_every_value(network, bounds, sign * _at_the_caps(network, bounds, rows), inputs)


def test_what_projections_do_not_see_costs_the_full_mode_no_network() -> None:
    blocks = (Conv2d(8, 3, padding=1), ReLU(), AvgPool2d(2)) * 3
    deep = Network((1, 64, 64), (*blocks, Flatten(), Linear(2)))
    assert plan(deep, 255, CHECKED).logit_bound < VALUE_LIMIT
    with pytest.raises(ValueError, match=r"layer 10 \(Linear\): values up to 2\^62"):
        plan(deep, 255, PROJECTED)


def _block(channels: int, hidden: int, first: tuple[Layer, ...]) -> Residual:
    return Residual((*first, Conv2d(hidden, 3, padding=1), ReLU(), Conv2d(channels, 1)))


@st.composite
def _networks(draw: st.DrawFn) -> Network:
    """One to three convolutions or averages, maxima and rectifications in any order, then a linear layer."""
    layers: list[Layer] = []
    shape = (draw(st.sampled_from([1, 3])), draw(st.integers(6, 12)), draw(st.integers(6, 12)))
    side = st.integers(1, 3)
    any_layer = st.one_of(
        st.builds(Conv2d, out_channels=side, kernel_size=side, stride=st.integers(1, 2), padding=st.integers(0, 2)),
        st.sampled_from([AvgPool2d(2), MaxPool2d(2), MaxPool2d(3), ReLU(), ReLU6()]),
        st.builds(_block, channels=side, hidden=side, first=st.sampled_from([(), (ReLU(),), (ReLU6(),)])),
    )
    for layer in draw(st.lists(any_layer, max_size=6)):
        try:
            plan(Network(shape, (*layers, layer, Flatten(), Linear(2))), 255, PROJECTED)
        except ValueError:
            continue
        layers.append(layer)
    return Network(shape, (*layers, Flatten(), Linear(draw(st.integers(2, 4)))))


@settings(max_examples=60, deadline=None)
@given(
    network=_networks(),
    bounds=st.sampled_from([CHECKED, PROJECTED]),
    seed=st.integers(0, 1000),
    extreme=st.booleans(),
)
def test_any_network_keeps_its_bounds_and_equals_its_layers_one_by_one(
    network: Network, bounds: WeightBounds, seed: int, extreme: bool
) -> None:
    generator = np.random.default_rng(seed)
    largest = min(bounds.largest, math.isqrt(bounds.norm**2 // network.size))
    choice = [-largest, largest] if extreme else range(-largest, largest + 1)
    weights = generator.choice(choice, network.size)
    inputs = generator.choice([0, 255] if extreme else range(256), (3, *network.input_shape))
    _follow_every_value(network, bounds, weights, inputs)
    found = plan(network, 255, bounds).logits(
        ArrayArithmetic(np), inputs[None], split_parameters(network, weights[None])
    )
    assert np.array_equal(found[0], _layer_by_layer(network, bounds, weights, inputs))


def _layer_by_layer(network: Network, bounds: WeightBounds, weights: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """Each step of the plan in numpy's plainest form."""
    parameters = {name: value[0] for name, value in split_parameters(network, weights[None]).items()}
    x = inputs
    bits = 8
    results = {-1: (x, bits)}
    for index, step in enumerate(plan(network, 255, bounds).steps):
        own = [parameters[parameter.name] for parameter in step.parameters]
        forms = [step.form.convolution, step.form.pooling] if isinstance(step.form, PooledConv2d) else [step.form]
        for form in forms:
            match form:
                case Conv2d(stride=stride, padding=padding):
                    weight, bias = own
                    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
                    windows = sliding_window_view(x, weight.shape[2:], axis=(2, 3))[:, :, ::stride, ::stride]
                    x = np.einsum("nchwij,ocij->nohw", windows, weight) + (bias[:, None, None] << bits)
                    bits = bits + 16
                case Linear():
                    weight, bias = own
                    x = x @ weight.T + (bias << bits)
                    bits = bits + 16
                case AvgPool2d(kernel_size=k):
                    x = sliding_window_view(x, (k, k), axis=(2, 3))[:, :, ::k, ::k].sum(axis=(4, 5))
                    bits += 2 * (k.bit_length() - 1)
                case MaxPool2d(kernel_size=k):
                    x = sliding_window_view(x, (k, k), axis=(2, 3))[:, :, ::k, ::k].max(axis=(4, 5))
                case Flatten():
                    x = x.reshape(len(x), -1)
                case GlobalAvgPool2d():
                    bits += 2 * (x.shape[3].bit_length() - 1)
                    x = x.sum(axis=(2, 3))
                case Ceiling(value=value):
                    x = np.minimum(x, value << bits)
                case Addition():
                    assert step.adds is not None
                    given, given_bits = results[step.adds]
                    x = (x << max(given_bits - bits, 0)) + (given << max(bits - given_bits, 0))
                    bits = max(bits, given_bits)
        if step.narrowing:
            x = x >> step.narrowing
            bits = 12
        if step.rectify:
            x = np.maximum(x, 0)
        results[index] = (x, bits)
    return x


def test_a_layer_is_one_file_that_the_table_finds_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "twice_flipped.py").write_text(
        "from pipeline.layers.flatten import Flatten\n\n\nclass TwiceFlipped(Flatten):\n    pass\n\n\nclass"
        " Helper(Flatten):\n    pass\n"
    )
    monkeypatch.setattr("pipeline.layers.__path__", [*pipeline.layers.__path__, str(tmp_path)])
    assert list(layers_among([str(tmp_path)])) == ["TwiceFlipped"]
    assert layers_among(pipeline.layers.__path__).keys() - LAYERS.keys() == {"TwiceFlipped"}


def test_a_network_that_could_wrap_is_refused_naming_the_layer() -> None:
    deep = Network((30,), (*[Linear(200), ReLU()] * 6, Linear(2)))
    with pytest.raises(ValueError, match=r"layer \d+ \(Linear\).*less than 2\^62"):
        plan(deep, 255, CHECKED)


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
        plan(network, 255, CHECKED)


@pytest.mark.parametrize(
    "arguments", [{"out_channels": 0, "kernel_size": 3}, {"out_channels": 1, "kernel_size": 3, "stride": 0}]
)
def test_a_convolution_of_nothing_is_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="from 1"):
        Conv2d(**arguments)


@pytest.mark.parametrize("size", [0, 1])
def test_a_maximum_of_one_value_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="from 2"):
        MaxPool2d(size)


@pytest.mark.parametrize("size", [0, 1, 3, 6])
def test_a_window_that_is_no_power_of_two_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        AvgPool2d(size)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_survives_as_plain_data(name: str) -> None:
    assert from_plain(to_plain(NETWORKS[name])) == NETWORKS[name]


def test_every_layer_of_the_table_is_evaluated_by_these_tests() -> None:
    used = {type(layer) for network in NETWORKS.values() for layer in network.layers}
    assert used == set(LAYERS.values())
