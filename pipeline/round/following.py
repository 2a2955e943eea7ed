"""The model after a round, from the one before it and the sum that the nodes opened."""

from __future__ import annotations

from dataclasses import replace

from pipeline.datasets import measured
from pipeline.model_file import Model, Scale, Vector
from pipeline.mpc import rule
from pipeline.study.study import Study


def updated(previous: Model, total: Vector, count: int) -> Model:
    """The previous model with the mean of `count` updates added, and its scale."""
    return replace(previous, parameters=rule.new_model(previous.parameters, total, count))


def measured_model(study: Study, previous: Model, total: Vector, count: int) -> Model:
    """The previous model with the scale of the inputs that the study measures, by `count` hospitals' summed figures."""
    return replace(previous, scale=Scale(*measured.constants(study.source.measured, total, count)))
