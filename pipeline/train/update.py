"""An update: what training changed, as integers with 16 fractional bits, scaled to the public budget."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from pipeline.domain import COORDINATE_CAP, NORM_CAP, UPDATE_BITS
from pipeline.errors import UpdateRejected
from pipeline.layers import Network
from pipeline.model_file import Vector

if TYPE_CHECKING:
    import torch

_FACTOR_BITS = 30
_LEAST_BACKOFF = Fraction(1, 8)


def encode(before: Vector, after: torch.nn.Module, network: Network) -> Vector:
    """What training changed, (P,) int64.

    Raises UpdateRejected on NaN, infinity or a coordinate beyond the public cap.
    """
    state = after.state_dict()
    if list(state) != [parameter.name for parameter in network.parameters]:
        raise UpdateRejected(
            f"update: got parameters {', '.join(state)}, want those of the study's network; train from the study's"
            " model"
        )
    flat = np.concatenate([state[name].detach().reshape(-1).numpy() for name in state]).astype(np.float64)
    change = np.rint((flat - before / (1 << UPDATE_BITS)) * (1 << UPDATE_BITS))
    if not np.isfinite(change).all():
        lost = int((~np.isfinite(change)).sum())
        raise UpdateRejected(
            f"update: got {lost} of {len(change)} coordinates NaN or infinite, want none; lower training.learning_rate"
        )
    largest = float(np.abs(change).max(initial=0))
    if largest >= COORDINATE_CAP:
        raise UpdateRejected(
            f"update: got a coordinate of {largest / (1 << UPDATE_BITS):.3g}, want less than"
            f" {COORDINATE_CAP >> UPDATE_BITS}; lower training.learning_rate or training.steps"
        )
    return change.astype(np.int64)


def backoff(accepted: Iterable[bool]) -> Fraction:
    """A hospital's own damping after its past verdicts, oldest first.

    Halved by a rejection, grown by a fourth by an acceptance.
    """
    factor = Fraction(1)
    for verdict in accepted:
        factor = min(Fraction(1), factor * Fraction(5, 4)) if verdict else max(factor / 2, _LEAST_BACKOFF)
    return factor


def fit(update: Vector, budget: int | None, damping: Fraction) -> Vector:
    """Scale an update so that its squared norm is at most `budget` (exactly, in integers) times `damping` squared."""
    limit = min(NORM_CAP, NORM_CAP if budget is None else budget)
    norm = int(np.dot(update, update))
    # Rounded towards zero at every step, so that no rounding can carry the norm past the limit.
    whole = 1 << _FACTOR_BITS
    shrink = min(whole, math.isqrt((limit << (2 * _FACTOR_BITS)) // norm)) if norm else whole
    factor = shrink * damping.numerator // damping.denominator
    return np.asarray(np.sign(update) * ((np.abs(update) * factor) >> _FACTOR_BITS), dtype=np.int64)
