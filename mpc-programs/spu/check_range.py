"""Which hospitals' vectors lie within the cap on coordinates.

Parties    3 nodes, ABY3 over Z_2^64, honest majority, each following the protocol (semi-honest).
Inputs     secret, int64, replicated components from the hospitals: vectors (hospitals, size), any 64-bit values.
           Where a study counts by subgroup, also what every node works out on them (`pipeline.mpc.tally`).
Learns     every node: one bit per hospital, 1 where all coordinates lie strictly within the cap. Nothing else is
           opened.
Exact      equal bit for bit to `pipeline.mpc.reference`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from oblivious import all_true
from spu.experimental import reveal
from verify import within

from pipeline.mpc import rule


def program() -> Callable[..., Any]:
    """The function that SPU evaluates."""

    def check_range(vectors: Any) -> Any:
        in_range = all_true(within(vectors, 1 - rule.COORDINATE_CAP, rule.COORDINATE_CAP - 1))
        return reveal(in_range.astype(jnp.int64))

    return check_range
