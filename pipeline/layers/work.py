"""What an evaluation asks of an engine: counted by evaluating the layers on shapes in the place of values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.layers.arithmetic import Convolution, Shape

PRODUCTS_PER_COMPARISON = 200
"""Products that weigh as much as one comparison: a round number between what the protocols take for one."""


@dataclass(frozen=True)
class Work:
    """Multiplications of two secret numbers, and signs of secret numbers."""

    products: int = 0
    comparisons: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(self.products + other.products, self.comparisons + other.comparisons)

    def __mul__(self, times: int) -> Work:
        return Work(self.products * times, self.comparisons * times)

    @property
    def in_comparisons(self) -> int:
        """Both in one number, rounded up."""
        return self.comparisons + -(-self.products // PRODUCTS_PER_COMPARISON)


class Counting:
    """The layers' arithmetic of one model on one sample, of which only shapes are known."""

    def __init__(self, merges_kernels: bool = False) -> None:
        """`merges_kernels`: whether windows are summed in a wider kernel, as SPU does, or in the input, as MP-SPDZ."""
        self.merges_kernels = merges_kernels
        self.work = Work()

    def convolve(self, x: Shape, weight: Shape, form: Convolution) -> Shape:
        """A kernel of products for each result."""
        side = form.merged_kernel_size if self.merges_kernels else form.kernel_size
        self.work += Work(products=math.prod(form.output_shape) * form.input_shape[0] * side**2)
        return form.output_shape

    def multiply(self, x: Shape, weight: Shape) -> Shape:
        """One for each weight."""
        self.work += Work(products=math.prod(weight))
        return weight[:1]

    def add_bias(self, x: Shape, bias: Shape, factor: int) -> Shape:
        """Nothing."""
        return x

    def maximum(self, candidates: Sequence[Shape], bound: int) -> Shape:
        """One comparison less than candidates, each with a product that chooses the larger one."""
        chosen = (len(candidates) - 1) * math.prod(candidates[0])
        self.work += Work(products=chosen, comparisons=chosen)
        return candidates[0]

    def minimum(self, x: Shape, limit: int, bound: int) -> Shape:
        """One comparison for each value, with a product that chooses."""
        self.work += Work(products=math.prod(x), comparisons=math.prod(x))
        return x

    def windows(self, x: Shape, size: int, shape: Shape) -> tuple[Shape, ...]:
        """Nothing."""
        return ((shape[0], shape[1] // size, shape[2] // size),) * size**2

    def add(self, x: Shape, y: Shape) -> Shape:
        """Nothing."""
        return x

    def subtract(self, x: Shape, y: Shape) -> Shape:
        """Nothing."""
        return x

    def shift(self, x: Shape, bits: int) -> Shape:
        """Nothing."""
        return x

    def flatten(self, x: Shape, shape: Shape) -> Shape:
        """Nothing."""
        return (math.prod(shape),)

    def narrow(self, x: Shape, bits: int, rectify: bool, bound: int) -> Shape:
        """One for each value: a floor and its ReLU share the bits of one."""
        self.work += Work(products=math.prod(x) if rectify else 0, comparisons=math.prod(x))
        return x
