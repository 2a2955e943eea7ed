"""Whatever shape and 64-bit values: the engine computes what the reference does.

`--hypothesis-profile=deep` looks much further.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipeline.domain import NORM_CAP, HospitalName
from pipeline.layers import Network
from pipeline.layers.avg_pool2d import AvgPool2d
from pipeline.layers.conv2d import Conv2d
from pipeline.layers.flatten import Flatten
from pipeline.layers.global_avg_pool2d import GlobalAvgPool2d
from pipeline.layers.linear import Linear
from pipeline.layers.max_pool2d import MaxPool2d
from pipeline.layers.relu import ReLU
from pipeline.layers.relu6 import ReLU6
from pipeline.layers.residual import Residual
from pipeline.mpc import reference, rule
from pipeline.mpc.engines.base import RuleParameters, VerifyTask
from pipeline.mpc.engines.mp_spdz.profiles import Profile
from pipeline.site.settings import Settings
from tests.support.opened import Opened, differences, explanations
from tests.support.tasks import Words, payload

pytestmark = pytest.mark.mp_spdz

EXTREMES = [0, 1, -1, (1 << 18) - 1, 1 - (1 << 18), 1 << 18, -(1 << 18), 1 << 32, (1 << 62), (1 << 63) - 1, -(1 << 63)]
FIXED = Network((1, 4, 4), (Conv2d(2, 3, padding=1), AvgPool2d(2), ReLU(), Flatten(), Linear(3), ReLU(), Linear(2)))


def examples(few: int) -> settings:
    """So many, always the same; or as many as another profile says."""
    deep = settings.get_current_profile_name() == "deep"
    quick = settings(max_examples=few, derandomize=True, database=None, phases=[Phase.generate])
    return settings(settings.default if deep else quick, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def installation() -> Settings:
    return Settings.load()


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Images or rows, every layer, two to four classes."""
    classes = draw(st.integers(2, 4))
    if draw(st.booleans()):
        features = draw(st.integers(1, 9))
        block = Residual((Linear(draw(st.integers(1, 5))), ReLU(), Linear(features)))
        hidden = draw(st.sampled_from([(), (Linear(3), ReLU()), (Linear(4), ReLU6()), (block, ReLU())]))
        return Network((features,), (*hidden, Linear(classes)))
    sides = (draw(st.integers(5, 8)), draw(st.integers(5, 8)))
    first = draw(st.builds(Conv2d, *[st.integers(1, 3)] * 2, st.integers(1, 2), st.integers(0, 1)))
    channels = draw(st.integers(1, 3))
    outputs = Network((channels, *sides), (first, Flatten(), Linear(2))).shapes[1]
    fitting = [[]] if any(side % 2 for side in outputs[1:]) else [[], [AvgPool2d(2)], [MaxPool2d(2)]]
    pooled = draw(st.sampled_from(fitting))
    activation = draw(st.sampled_from([ReLU(), ReLU6()]))
    order = draw(st.sampled_from([[*pooled, activation], [activation, *pooled]]))
    block = Residual((activation, Conv2d(2, 1), ReLU(), Conv2d(outputs[0], 3, padding=1)))
    blocks = draw(st.sampled_from([(), (block, activation)]))
    shape = Network((channels, *sides), (first, *order)).shapes[-1]
    averages = [GlobalAvgPool2d()] if shape[1] == shape[2] in (2, 4) else [Flatten()]
    return Network((channels, *sides), (first, *order, *blocks, *averages, Linear(classes)))


@st.composite
def rounds(
    draw: st.DrawFn, network: Network, hospitals: int, samples: int
) -> tuple[VerifyTask, dict[HospitalName, Words]]:
    """Mostly well-formed updates and samples, with single values that are anything."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    names = tuple(HospitalName(f"hospital-{place}") for place in range(hospitals))
    common = generator.integers(-(1 << 15), 1 << 15, network.size)
    payloads = {}
    for name in names:
        scale = draw(st.sampled_from([0, 1, 1, 1, 2, -1]))
        update = scale * common + generator.integers(-(1 << 12), 1 << 12, network.size)
        inputs = generator.integers(0, 256, (samples, *network.input_shape))
        rows = np.eye(network.classes, dtype=np.int64)[generator.integers(0, network.classes, samples)]
        for array, strange in (
            (update, EXTREMES),
            (inputs, [-1, 0, 255, 256, *EXTREMES]),
            (rows, [0, 1, 2, -1, *EXTREMES]),
        ):
            if draw(st.integers(0, 4)) == 0:
                array.flat[draw(st.integers(0, array.size - 1))] = draw(st.sampled_from(strange))
        payloads[name] = payload(update, inputs, rows, network.classes)
    edge = draw(st.booleans())
    previous = (
        generator.choice([-(1 << 18), 1 << 18], network.size)
        if edge
        else generator.integers(-(1 << 16), 1 << 16, network.size)
    )
    percents = draw(st.tuples(*[st.sampled_from([0, 1, 20, 50, 100])] * 4))
    budget = draw(st.sampled_from([None, 0, 1, 1 << 16, 1 << 34, NORM_CAP, (1 << 61) - 1]))
    numbers = RuleParameters(samples, (0, 255), percents[0], percents[1], budget, percents[2], percents[3])
    return VerifyTask(names, network, numbers, rule.capped(previous.astype(np.int64))), payloads


def with_panel(task: VerifyTask, panel: int | None) -> VerifyTask:
    """The task with a panel of so many for each model."""
    return replace(task, rule=replace(task.rule, panel=panel))


def check(engine: Opened, task: VerifyTask, payloads: dict[HospitalName, Words]) -> None:
    expected = reference.explain(task, payloads)
    with TemporaryDirectory() as folder:
        for found, _ in explanations(engine, "replicated-ring", task, payloads, Path(folder)):
            assert differences(found, expected) == []


@examples(8)
@given(data=st.data(), profile=st.sampled_from(Profile), panel=st.sampled_from([None, 3]))
def test_any_values_of_one_shape(
    installation: Settings, data: st.DataObject, profile: Profile, panel: int | None
) -> None:
    task, payloads = data.draw(rounds(FIXED, hospitals=5, samples=4))
    check(Opened(installation, profile), with_panel(task, panel), payloads)


@examples(4)
@given(
    data=st.data(),
    network=networks(),
    hospitals=st.integers(1, 6),
    samples=st.integers(1, 7),
    profile=st.sampled_from(Profile),
    panel=st.one_of(st.none(), st.integers(1, 5)),
)
def test_any_shape(
    installation: Settings,
    data: st.DataObject,
    network: Network,
    hospitals: int,
    samples: int,
    profile: Profile,
    panel: int | None,
) -> None:
    task, payloads = data.draw(rounds(network, hospitals, samples))
    check(Opened(installation, profile), with_panel(task, panel), payloads)
