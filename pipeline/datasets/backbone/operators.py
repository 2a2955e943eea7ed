"""The operators of ONNX that a backbone may have: those that give equal outputs for equal inputs and hold no state.

A list of what is allowed, so that an operator of a later version is refused until somebody has looked at it. Left out
are random numbers, loops and branches, sequences and texts; those whose output's shape follows from values, with which
a small file could ask for all memory; and integers of 8 bits, which processors of one family round differently.
"""

from __future__ import annotations

RANDOM = frozenset(
    {"Bernoulli", "Dropout", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
"""Named by themselves in the refusal: the usual sign of a graph that was exported in training mode."""

_ELEMENTWISE = frozenset(
    {"Abs", "Add", "Cast", "Ceil", "Clip", "Div", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish"}
    | {"Identity", "LeakyRelu", "Log", "Max", "Mean", "Min", "Mish", "Mul", "Neg", "PRelu", "Pow", "Relu", "Selu"}
    | {"Sigmoid", "Softplus", "Sqrt", "Sub", "Sum", "Tanh"}
)
_WEIGHTED = frozenset({"Conv", "Gemm", "MatMul"})
_POOLS_AND_SUMS = frozenset(
    {"AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceSum"}
)
_NORMALISATIONS = frozenset(
    {"BatchNormalization", "GroupNormalization", "InstanceNormalization", "LayerNormalization", "LpNormalization"}
    | {"Softmax"}
)
_LAYOUT = frozenset(
    {"Concat", "Constant", "Flatten", "Pad", "Reshape", "Shape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"}
)

ALLOWED = _ELEMENTWISE | _WEIGHTED | _POOLS_AND_SUMS | _NORMALISATIONS | _LAYOUT

BYTES = {1: 4, 11: 8, 10: 2, 6: 4, 7: 8, 9: 1}
"""Of an element of each type that is allowed, by ONNX's number: FLOAT, DOUBLE, FLOAT16, INT32, INT64, BOOL. Neither
texts, whose elements have no size, nor integers of 8 bits."""
