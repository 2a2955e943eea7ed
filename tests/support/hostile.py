"""A round in which somebody breaks each part of the rule."""

from __future__ import annotations

import numpy as np

from pipeline.domain import COORDINATE_CAP, HospitalName
from pipeline.layers import CHECKED, Network, plan
from pipeline.layers.arrays import ArrayArithmetic, split_parameters
from pipeline.mpc.engines.base import RuleParameters, VerifyTask
from tests.support.tasks import ONE, Words, payload


def answers(network: Network, model: Words, inputs: Words) -> Words:
    """Class of the largest logit per sample."""
    steps = plan(network, 255, CHECKED)
    logits = steps.logits(ArrayArithmetic(np), inputs[None], split_parameters(network, model[None]))[0]
    found: Words = logits.argmax(axis=1)
    return found


def hostile_round(
    network: Network, budget: int | None, samples: int = 8
) -> tuple[VerifyTask, dict[HospitalName, Words]]:
    """Six honest hospitals, of which two contribute no valid samples, and one that breaks each part of the rule."""
    generator = np.random.default_rng(7)
    honest = [HospitalName(f"honest-{number}") for number in range(1, 5)]
    names = [*honest, *map(HospitalName, ("dark", "wide", "huge", "lazy", "against", "worse", "label"))]
    previous = (generator.standard_normal(network.size) * 0.1 * ONE).astype(np.int64)
    common = generator.standard_normal(network.size) * 2.5 * ONE / np.sqrt(network.size)
    payloads = {}
    for name in names:
        update = (common + generator.standard_normal(network.size) * 0.3 * ONE / np.sqrt(network.size)).astype(np.int64)
        inputs = generator.integers(0, 256, (samples, *network.input_shape))
        labels: Words = np.eye(network.classes, dtype=np.int64)[
            answers(network, previous + common.astype(np.int64), inputs)
        ]
        match name:
            case "dark":
                inputs.flat[3] = -1
            case "wide":
                update[1] = COORDINATE_CAP
            case "huge":
                update = 4 * update
            case "lazy":
                update = update // 64
            case "against":
                update = -update
            case "worse":
                # whatever the input, it answers with one class
                update[:] = 0
                update[-1] = 2.4 * ONE
            case "label":
                labels[0] = 1
        payloads[name] = payload(update, inputs, labels, network.classes)
    return VerifyTask(tuple(names), network, RuleParameters(samples, (0, 255), 20, 20, budget), previous), payloads
