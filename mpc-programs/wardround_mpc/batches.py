"""The layers' arithmetic (`pipeline.layers.arithmetic`) on secret-shared batches."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from Compiler.instructions import conv2ds
from Compiler.types import regint, sint

from wardround_mpc import bits as secret_bits
from wardround_mpc.lockstep import Floor
from wardround_mpc.selection import concatenated, parts


@dataclass(frozen=True)
class View:
    """A strided window on an array in memory, first axis outermost."""

    array: object
    offset: object
    shape: tuple
    strides: tuple

    @classmethod
    def of(cls, array, shape, offset=0):
        """Row-major."""
        return cls(array, offset, tuple(shape), _row_major(shape))

    @classmethod
    def holding(cls, vector, shape):
        """A new array with the elements of `vector`."""
        array = sint.Array(math.prod(shape))
        array.assign_vector(vector)
        return cls.of(array, shape)

    @property
    def size(self):
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def is_row_major(self):
        """Whether the elements lie in memory in the order of the axes."""
        return all(
            length == 1 or stride == plain
            for length, stride, plain in zip(self.shape, self.strides, _row_major(self.shape), strict=True)
        )

    def axes(self, order):
        """The same elements with their axes in another order."""
        return replace(self, shape=tuple(self.shape[i] for i in order), strides=tuple(self.strides[i] for i in order))

    def repeated(self, axis, count):
        """A further axis along which nothing changes."""
        shape, strides = list(self.shape), list(self.strides)
        shape.insert(axis, count)
        strides.insert(axis, 0)
        return replace(self, shape=tuple(shape), strides=tuple(strides))

    def along(self, axis, count, stride):
        """An axis of length 1 lengthened: so many windows, each so far from the one before."""
        shape, strides = list(self.shape), list(self.strides)
        shape[axis], strides[axis] = count, stride
        return replace(self, shape=tuple(shape), strides=tuple(strides))

    def part(self, axis, start, count, step=1):
        """Every step-th index of one axis."""
        shape, strides = list(self.shape), list(self.strides)
        offset = self.offset + start * strides[axis]
        shape[axis], strides[axis] = count, strides[axis] * step
        return replace(self, offset=offset, shape=tuple(shape), strides=tuple(strides))

    def vector(self):
        """The elements in the order of the axes."""
        if self.is_row_major:
            return self.array.get_vector(self.offset, self.size)
        return self.array.get(self.places())

    def assign(self, vector):
        """Store elements in the order of the axes."""
        if self.is_row_major:
            self.array.assign_vector(vector, self.offset)
        else:
            vector.store_in_mem(self.places(self.array.address))

    def places(self, base=0):
        """Index of every element in the array, counted from `base`."""
        runs, inner = [], self.size
        for length, stride in zip(self.shape, self.strides, strict=True):
            if length > 1 and runs and runs[-1][1] == stride * length:
                runs[-1] = (runs[-1][0] * length, stride)
            elif length > 1:
                runs.append((length, stride))
        index, start = None, base + self.offset
        for length, stride in runs:
            inner //= length
            if stride:
                places = regint.inc(self.size, start, stride, inner, length)
                index, start = places if index is None else index + places, 0
        return regint.inc(self.size, start, 0) if index is None else index


def _row_major(shape):
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


class SecretArithmetic:
    """Batches are views (models, samples, *sample) and parameters views (models, *parameter).

    Common inputs have models = 1.
    """

    def convolve(self, x, weight, form):
        """One instruction for all models and output channels.

        The windows are summed in the input, where it takes the fewest products.
        """
        models, out = weight.shape[:2]
        channels, height, width = form.input_shape
        padding = form.padding
        x = x.axes((0, 1, 3, 4, 2))
        if form.pool > 1:
            if padding:
                x, height, width, padding = _padded(x, padding), height + 2 * padding, width + 2 * padding, 0
            x = _window_sums(x, [form.stride * step for step in range(form.pool)])
        kernels = weight.axes((0, 1, 3, 4, 2))
        inputs = [x.part(0, model, 1).vector() for model in range(x.shape[0])]
        rows, columns = form.output_shape[1:]
        samples = x.shape[1]
        # channels innermost: the order in which the next convolution reads
        images = View.of(sint.Array(models * samples * rows * columns * out), (models, samples, rows, columns, out))
        results, arguments = [], []
        for model in range(models):
            for channel in range(out):
                results.append((images.part(0, model, 1).part(4, channel, 1), sint(size=samples * rows * columns)))
                kernel = kernels.part(0, model, 1).part(1, channel, 1).vector()
                arguments += [results[-1][1], inputs[model % len(inputs)], kernel, rows, columns, height, width]
                arguments += [
                    form.kernel_size,
                    form.kernel_size,
                    form.merged_stride,
                    form.merged_stride,
                    channels,
                    padding,
                    padding,
                    samples,
                ]
        conv2ds(*arguments)
        for channel, result in results:
            channel.assign(result)
        return images.axes((0, 1, 4, 2, 3))

    def multiply(self, x, weight):
        """One matrix product per model."""
        models, outputs, features = weight.shape
        samples = x.shape[1]
        outcome = sint.Array(models * samples * outputs)
        x, weight = _row_major_view(x), _row_major_view(weight)
        products = []
        for model in range(models):
            left = sint.Matrix(
                samples, features, address=x.array.address + x.offset + (model % x.shape[0]) * samples * features
            )
            right = sint.Matrix(
                outputs, features, address=weight.array.address + weight.offset + model * outputs * features
            )
            products.append(left.direct_mul_trans(right))
        # stored when all are there: a store between two products would keep them apart
        outcome.assign_vector(concatenated(products))
        return View.of(outcome, (models, samples, outputs))

    def add_bias(self, x, bias, factor):
        """Repeated over samples and, in an image, over rows and columns."""
        bias = bias.repeated(1, x.shape[1])
        for side in x.shape[3:]:
            bias = bias.repeated(len(bias.shape), side)
        return _elementwise(lambda values, added: values + added * factor, x, bias)

    def maximum(self, candidates, bound):
        """Pairs of neighbours compared at once, then the winners; the odd one out waits."""
        shape = candidates[0].shape
        left_over = [candidate.vector() for candidate in candidates]
        while len(left_over) > 1:
            pairs = len(left_over) // 2
            left, right = concatenated(left_over[0 : 2 * pairs : 2]), concatenated(left_over[1 : 2 * pairs : 2])
            gap = right - left
            # negative: the left one is larger
            larger = right - secret_bits.negative(gap, 2 * bound) * gap
            left_over = [*parts(larger, pairs, left.size // pairs), *left_over[2 * pairs :]]
        return View.holding(left_over[0], shape)

    def minimum(self, x, limit, bound):
        """The limit where the gap to it is negative."""

        def smaller(values):
            gap = limit - values
            return values + secret_bits.negative(gap, bound + limit) * gap

        return _elementwise(smaller, x)

    def windows(self, x, size, shape):
        """Strided views."""
        rows, columns = shape[1] // size, shape[2] // size
        return tuple(
            x.part(3, row, rows, size).part(4, column, columns, size) for row in range(size) for column in range(size)
        )

    def add(self, x, y):
        """x + y; inputs common to all models are repeated."""
        if y.shape[0] < x.shape[0]:
            y = replace(y, shape=(x.shape[0], *y.shape[1:]), strides=(0, *y.strides[1:]))
        return _elementwise(lambda left, right: left + right, x, y)

    def subtract(self, x, y):
        """x - y."""
        return _elementwise(lambda left, right: left - right, x, y)

    def shift(self, x, bits):
        """A public factor."""
        return _elementwise(lambda values: values * (1 << bits), x)

    def flatten(self, x, shape):
        """One axis for the sample."""
        return View.holding(x.vector(), (*x.shape[:2], math.prod(shape)))

    def narrow(self, x, bits, rectify, bound):
        """One addition of the components' bits for floor and sign together."""
        return _elementwise(lambda values: secret_bits.narrow(values, bits, rectify, bound), x)


def narrowed(stages):
    """A chain that asks for what a plan's stages want narrowed; what it returns are the logits."""
    narrowed_values = None
    while True:
        try:
            x, step = stages.send(narrowed_values)
        except StopIteration as end:
            return end.value
        order = _memory_order(x)
        (values,) = yield [Floor(x.axes(order).vector(), step.narrowing, step.rectify, step.bound)]
        narrowed_values = _in_order(values, x, order)


def _elementwise(function, first, *others):
    """Work in the memory order of the first operand, so that it need not be rearranged."""
    order = _memory_order(first)
    return _in_order(function(*(view.axes(order).vector() for view in (first, *others))), first, order)


def _memory_order(view):
    return sorted(range(len(view.shape)), key=lambda axis: -view.strides[axis])


def _in_order(vector, like, order):
    """A view shaped as another one on a vector of its elements, of which it gives the order of axes."""
    return View.holding(vector, [like.shape[axis] for axis in order]).axes(
        sorted(range(len(order)), key=order.__getitem__)
    )


def _row_major_view(view):
    return view if view.is_row_major else View.holding(view.vector(), view.shape)


def _padded(x, padding):
    """Zeros around rows and columns of (models, samples, rows, columns, channels)."""
    models, samples, rows, columns, channels = x.shape
    shape = (models, samples, rows + 2 * padding, columns + 2 * padding, channels)
    array = sint.Array(math.prod(shape))
    array.assign_all(0)
    View.of(array, shape).part(2, padding, rows).part(3, padding, columns).assign(x.vector())
    return View.of(array, shape)


def _window_sums(x, steps):
    """Of (models, samples, rows, columns, channels) the sums over steps x steps.

    The last rows and columns are left without meaning.
    """
    columns, channels = x.shape[3:]
    # shifting the whole vector runs over the border only where no window begins, and needs no index
    for distance in (columns * channels, channels):
        whole, size = _row_major_view(x), x.size - steps[-1] * distance
        sums = sint.Array(x.size)
        sums.assign_vector(sum(whole.array.get_vector(whole.offset + step * distance, size) for step in steps))
        x = View.of(sums, x.shape)
    return x
