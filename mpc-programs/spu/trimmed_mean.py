"""Coordinate-wise trimmed mean of the accepted updates: the sum of the middle ones.

Parties    3 nodes, ABY3 over Z_2^64, honest majority, each following the protocol (semi-honest).
Inputs     secret, int64, replicated components from the accepted hospitals: updates (hospitals, parameters), 16
           fractional bits, each coordinate within 2^18 as the verification checked, so that no comparison wraps. Where
           a study counts by subgroup, also the sum of its hospitals' counts and two vectors of zeros.
Learns     every node: per coordinate the sum of the middle updates, an odd number of at least 3. Nothing else is
           opened.
Exact      equal bit for bit to `pipeline.mpc.reference`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from oblivious import middle_sum, sort
from spu.experimental import reveal

from pipeline.mpc import rule


def program(hospitals: int) -> Callable[..., Any]:
    """The function that SPU evaluates."""

    def trimmed_mean(updates: Any) -> Any:
        trimmed = rule.updates_trimmed(hospitals)
        if rule.updates_averaged(hospitals) == hospitals - 2 * trimmed:
            return reveal(middle_sum(list(updates), trimmed))
        middle = sort(list(updates), range(trimmed, hospitals - trimmed))
        # differences of coordinates: < 2^19
        farther = jnp.where(middle[-1] - middle[-2] > middle[1] - middle[0], middle[-1], middle[0])
        return reveal(sum(middle) - farther)

    return trimmed_mean
