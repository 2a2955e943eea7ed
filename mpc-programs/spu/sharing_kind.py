"""SPU's request for an arithmetic sharing as an operation of jax.

Converts a sharing of bits once, rather than at every use.
"""

from __future__ import annotations

from typing import Any

from jax import core
from jax.interpreters import mlir
from jaxlib.hlo_helpers import custom_call

_primitive = core.Primitive("arithmetic_sharing")


def arithmetic_sharing(x: Any) -> Any:
    """The same values, shared as summands in Z_2^64."""
    return _primitive.bind(x)


def _lower(context: Any, x: Any) -> Any:
    return custom_call("spu.prefer_a", result_types=[mlir.ir.RankedTensorType(x.type)], operands=[x]).results


_primitive.def_abstract_eval(lambda x: core.ShapedArray(x.shape, x.dtype))
mlir.register_lowering(_primitive, _lower)
