"""The layers' arithmetic on arrays of int64 with numpy's interface: numpy itself and jax.numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

from pipeline.layers.arithmetic import Convolution, Shape
from pipeline.layers.network import Network


class ArrayArithmetic:
    """Batches are (models, samples, *sample) and parameters (models, *parameter).

    Inputs common to all models have models = 1.
    """

    def __init__(self, namespace: Any) -> None:
        self.namespace = namespace

    def convolve(self, x: Any, weight: Any, form: Convolution) -> Any:
        """Patches times merged kernels: the windows are summed in the kernel, which is smaller than the input."""
        if form.padding:
            margin = (form.padding, form.padding)
            x = self.namespace.pad(x, ((0, 0), (0, 0), (0, 0), margin, margin))
        _, rows, columns = form.output_shape
        side = form.merged_kernel_size
        shifts = [(row, column) for row in range(side) for column in range(side)]
        patches = self.namespace.stack(
            [self.strided(x, row, column, form.merged_stride, (rows, columns)) for row, column in shifts], axis=-1
        )
        # (models, samples, channels, rows, columns, side * side) to (models, samples * rows * columns, channels * side
        # * side)
        patches = self.namespace.moveaxis(patches, 2, 4)
        models, samples = x.shape[:2]
        kernels = self.merged(weight, form).reshape(weight.shape[0], form.out_channels, -1)
        products = self.multiply(patches.reshape(models, samples * rows * columns, -1), kernels)
        products = products.reshape(-1, samples, rows, columns, form.out_channels)
        return self.namespace.moveaxis(products, 4, 2)

    def merged(self, weight: Any, form: Convolution) -> Any:
        """The kernel that sums a window's convolutions: its copies, shifted by the stride, added up."""
        offsets = range(0, form.stride * form.pool, form.stride)
        last = form.stride * (form.pool - 1)
        none = ((0, 0),) * 3
        wide = sum(self.namespace.pad(weight, (*none, (offset, last - offset), (0, 0))) for offset in offsets)
        return sum(self.namespace.pad(wide, (*none, (0, 0), (offset, last - offset))) for offset in offsets)

    def multiply(self, x: Any, weight: Any) -> Any:
        """One product per model, or one for all models where they share their inputs."""
        models, outputs, inputs = weight.shape
        if x.shape[0] == 1:
            products = x[0] @ weight.reshape(models * outputs, inputs).T
            return self.namespace.moveaxis(products.reshape(-1, models, outputs), 1, 0)
        return x @ self.namespace.swapaxes(weight, 1, 2)

    def add_bias(self, x: Any, bias: Any, factor: int) -> Any:
        """Broadcast over samples and, in an image, over rows and columns."""
        return x + (bias * factor).reshape(bias.shape[0], 1, bias.shape[1], *(1,) * (x.ndim - 3))

    def maximum(self, candidates: Sequence[Any], bound: int) -> Any:
        """Two at a time."""
        return reduce(self.namespace.maximum, candidates)

    def minimum(self, x: Any, limit: int, bound: int) -> Any:
        """Element by element."""
        return self.namespace.minimum(x, limit)

    def windows(self, x: Any, size: int, shape: Shape) -> tuple[Any, ...]:
        """Strided views."""
        output = (shape[1] // size, shape[2] // size)
        return tuple(self.strided(x, row, column, size, output) for row in range(size) for column in range(size))

    def strided(self, x: Any, row: int, column: int, step: int, shape: tuple[int, int]) -> Any:
        """Rows and columns of an image from (row, column) on, every `step`, as many as `shape` says."""
        rows, columns = shape
        return x[..., row : row + step * (rows - 1) + 1 : step, column : column + step * (columns - 1) + 1 : step]

    def add(self, x: Any, y: Any) -> Any:
        """x + y."""
        return x + y

    def subtract(self, x: Any, y: Any) -> Any:
        """x - y."""
        return x - y

    def shift(self, x: Any, bits: int) -> Any:
        """A multiplication, which a sharing of sums does for nothing."""
        return x * (1 << bits)

    def flatten(self, x: Any, shape: Shape) -> Any:
        """One axis for the sample."""
        return x.reshape(*x.shape[:2], -1)

    def narrow(self, x: Any, bits: int, rectify: bool, bound: int) -> Any:
        """Arithmetic shift and maximum."""
        x = x >> bits
        return self.namespace.maximum(x, 0) if rectify else x


def split_parameters(network: Network, vectors: Any) -> Mapping[str, Any]:
    """Parameter name to (models, *shape) from flat vectors (models, network.size)."""
    return {
        parameter.name: vectors[:, parameter.offset : parameter.offset + parameter.size].reshape(-1, *parameter.shape)
        for parameter in network.parameters
    }
