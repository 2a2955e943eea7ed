"""The few operations in which every layer is written once, for numpy, SPU and MP-SPDZ alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from pipeline.domain import UPDATE_BITS

Shape = tuple[int, ...]
"""Shape of one sample, without the batch: (channels, height, width) or (features,)."""

ACTIVATION_BITS = 12
"""Fractional bits of values between two weighted layers where more could wrap."""

WEIGHT_BITS = UPDATE_BITS
"""Fractional bits of every weight; weights are never truncated."""

VALUE_LIMIT = 1 << 62
"""No intermediate value may reach it, so that neither it nor a difference of two wraps in Z_2^64."""

Array = TypeVar("Array")
"""A backend's own batch of samples; its axes before those of the sample (models, samples) are the backend's affair."""


@dataclass(frozen=True)
class WeightBounds:
    """What is proven of the weights of any one model, 16 fractional bits."""

    largest: int
    """Of their absolute values."""
    norm: int
    """Of the Euclidean norm of any of them."""


CHECKED = WeightBounds(1 << 19, (1 << 22) + (1 << 20))
"""A global model within 2**18, of a norm within 2**22, plus an update whose every coordinate is checked to be within
2**18, and its norm within 2**20."""

PROJECTED = WeightBounds((1 << 18) + (1 << 21), (1 << 22) + (1 << 21))
"""The same plus an update that projections tell from one whose norm is above 2**21, and so any coordinate
(docs/adr/0007-large-models.md)."""


@dataclass(frozen=True)
class Convolution:
    """Geometry of one convolution whose outputs are summed over pool x pool windows (pool 1: not summed)."""

    input_shape: Shape
    out_channels: int
    kernel_size: int
    stride: int
    padding: int
    pool: int = 1

    @property
    def merged_kernel_size(self) -> int:
        """Side of the kernel that does convolution and window sum at once, with stride `merged_stride`."""
        return self.kernel_size + self.stride * (self.pool - 1)

    @property
    def merged_stride(self) -> int:
        """Distance of neighbouring outputs in the input."""
        return self.stride * self.pool

    @property
    def output_shape(self) -> Shape:
        """(out_channels, h', w')."""
        height, width = (
            (side + 2 * self.padding - self.merged_kernel_size) // self.merged_stride + 1
            for side in self.input_shape[1:]
        )
        return (self.out_channels, height, width)


class Arithmetic(Protocol[Array]):
    """A backend: every operation is exact in Z_2^64 and takes all models and samples of a batch at once."""

    def convolve(self, x: Array, weight: Array, form: Convolution) -> Array:
        """Convolution without bias, summed over windows; `weight` (out, in, k, k) per model."""

    def multiply(self, x: Array, weight: Array) -> Array:
        """x W^T for `weight` (out, in) per model."""

    def add_bias(self, x: Array, bias: Array, factor: int) -> Array:
        """x + factor * bias, `bias` (channels or features,) per model."""

    def maximum(self, candidates: Sequence[Array], bound: int) -> Array:
        """The largest of the candidates, element by element; every |candidate| <= bound < 2**62."""

    def minimum(self, x: Array, limit: int, bound: int) -> Array:
        """The smaller of each element and a public limit; the caller knows |x| <= bound < 2**62, 0 <= limit < 2**62."""

    def windows(self, x: Array, size: int, shape: Shape) -> tuple[Array, ...]:
        """The size * size members of each disjoint window, each (channels, h / size, w / size), in row-major order."""

    def add(self, x: Array, y: Array) -> Array:
        """x + y."""

    def subtract(self, x: Array, y: Array) -> Array:
        """x - y."""

    def shift(self, x: Array, bits: int) -> Array:
        """x * 2**bits."""

    def flatten(self, x: Array, shape: Shape) -> Array:
        """One row-major vector per sample."""

    def narrow(self, x: Array, bits: int, rectify: bool, bound: int) -> Array:
        """floor(x / 2**bits), and with `rectify` its maximum with 0; the caller knows |x| <= bound < 2**62."""
