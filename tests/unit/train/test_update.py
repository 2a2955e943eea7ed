"""The codec of an update, its refusals, and the scaling to the public budget."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.domain import COORDINATE_CAP, NORM_CAP
from pipeline.errors import UpdateRejected
from pipeline.layers import Network
from pipeline.layers.linear import Linear
from pipeline.layers.relu import ReLU
from pipeline.model_file import Vector
from pipeline.train.network import module
from pipeline.train.update import backoff, encode, fit

if TYPE_CHECKING:
    import torch

NETWORK = Network((3,), (Linear(4), ReLU(), Linear(2)))

vectors = arrays(np.int64, NETWORK.size, elements=st.integers(-COORDINATE_CAP + 1, COORDINATE_CAP - 1))
models = arrays(np.int64, NETWORK.size, elements=st.integers(-COORDINATE_CAP, COORDINATE_CAP))


def spoiled(place: int, value: float) -> torch.nn.Sequential:
    import torch

    trained = module(NETWORK, np.zeros(NETWORK.size, dtype=np.int64))
    with torch.no_grad():
        parameter = NETWORK.parameters[place]
        trained.get_parameter(parameter.name).view(-1)[-1] = value
    return trained


@given(before=models, update=vectors)
def test_an_update_survives_torch_and_back_exactly(before: Vector, update: Vector) -> None:
    assert encode(before, module(NETWORK, before + update), NETWORK).tolist() == update.tolist()


def test_an_update_is_rounded_to_sixteen_fractional_bits() -> None:
    trained = spoiled(0, 0.75 / 2**16)
    assert encode(np.zeros(NETWORK.size, dtype=np.int64), trained, NETWORK).sum() == 1


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_nan_and_infinity_are_refused_in_every_parameter(place: int, value: float) -> None:
    with pytest.raises(UpdateRejected, match="got 1 of 26 coordinates NaN or infinite, want none"):
        encode(np.zeros(NETWORK.size, dtype=np.int64), spoiled(place, value), NETWORK)


@pytest.mark.parametrize("value", [4.0, -4.0, 1e30])
def test_a_coordinate_beyond_the_public_cap_is_refused(value: float) -> None:
    with pytest.raises(UpdateRejected, match="want less than 4"):
        encode(np.zeros(NETWORK.size, dtype=np.int64), spoiled(2, value), NETWORK)


def test_the_largest_coordinate_within_the_cap_passes() -> None:
    update = encode(np.zeros(NETWORK.size, dtype=np.int64), spoiled(2, 4.0 - 2**-16), NETWORK)
    assert update.max() == COORDINATE_CAP - 1


def test_a_network_of_another_shape_is_refused() -> None:
    other = Network((3,), (Linear(2),))
    with pytest.raises(UpdateRejected, match=r"got parameters 0\.weight, 0\.bias, want those of the study's network"):
        encode(np.zeros(NETWORK.size, dtype=np.int64), module(other, np.zeros(other.size, dtype=np.int64)), NETWORK)


@given(
    update=vectors,
    budget=st.none() | st.integers(0, 1 << 44),
    verdicts=st.lists(st.booleans(), max_size=8),
)
def test_a_fitted_update_never_exceeds_the_budget(update: Vector, budget: int | None, verdicts: list[bool]) -> None:
    damping = backoff(verdicts)
    fitted = fit(update, budget, damping)
    norm = sum(int(value) ** 2 for value in fitted)
    limit = NORM_CAP if budget is None else min(budget, NORM_CAP)
    assert norm <= limit * damping**2
    assert all(
        0 <= int(small) * int(np.sign(large)) <= abs(int(large)) for small, large in zip(fitted, update, strict=True)
    )


@given(update=vectors.map(lambda update: update // 2))
def test_an_update_within_the_budget_stays_as_it_is(update: Vector) -> None:
    assert fit(update, int(update @ update), Fraction(1)).tolist() == update.tolist()


def test_an_update_beyond_the_budget_uses_it_up() -> None:
    update = np.array([30_000, -40_000, 0, 12_345], dtype=np.int64)
    fitted = fit(update, 10**8, Fraction(1))
    assert 0.999 * 10**8 < int(fitted @ fitted) <= 10**8
    np.testing.assert_allclose(fitted / np.linalg.norm(fitted), update / np.linalg.norm(update), atol=1e-3)


def test_a_hospital_backs_off_after_a_rejection_and_recovers_slowly() -> None:
    assert backoff([]) == 1
    assert backoff([True, True]) == 1
    assert backoff([False]) == Fraction(1, 2)
    assert backoff([False] * 9) == Fraction(1, 8)
    assert backoff([False, True]) == Fraction(5, 8)
    assert backoff([True, False, True, True, True, True]) == 1
