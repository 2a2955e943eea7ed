"""Coordinate-wise trimmed mean of the accepted updates: the sum of the middle ones.

Parties    3 nodes, ABY3 over Z_2^64, honest majority, each following the protocol (semi-honest).
Inputs     secret, int64, replicated components from the accepted hospitals: updates (hospitals, parameters), 16 fractional bits,
           each coordinate within 2^18 as the verification checked, so that no comparison wraps.
Learns     every node: per coordinate the sum of the middle updates, at least 3 of them. Nothing else is opened.
Exact      equal bit for bit to `pipeline.mpc.reference`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from oblivious import middle_sum
from spu.experimental import reveal

from pipeline.mpc import rule


def program(hospitals: int) -> Callable[..., Any]:
    """The function that SPU evaluates."""

    def trimmed_mean(updates: Any) -> Any:
        return reveal(middle_sum(list(updates), rule.updates_trimmed(hospitals)))

    return trimmed_mean
