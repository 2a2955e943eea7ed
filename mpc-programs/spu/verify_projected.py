"""Verification of a large model's updates by their projections: which are accepted, and the next round's budget.

Parties    3 nodes, ABY3 over Z_2^64, honest majority, each following the protocol (semi-honest).
Inputs     secret, int64, replicated components: projections (hospitals, 512), 16 fractional bits, which each node made
           from the components of the updates that it holds; public: thresholds (budget, at most the cap on squared
           norms; margin of the direction).
Learns     every node: one accept bit per hospital and one squared norm (the budget); where the study allows it, instead
           of a bit how many of the conditions size, direction held before one failed (2: accepted). Nothing else is
           opened.
Exact      equal bit for bit to `pipeline.mpc.reference_projected`; the bit budget is that of
           `mpc-programs/verify_projected.mpc`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from oblivious import all_true, sorted_wire
from spu.experimental import reveal
from verify import next_budget, verdicts, within

from pipeline.mpc import rule


def program(first_round: bool, names_condition: bool) -> Callable[..., Any]:
    """The function that SPU evaluates."""

    def verify_projected(projections: Any, thresholds: Any) -> Any:
        hospitals, limit = projections.shape[0], thresholds[0]
        in_range = all_true(within(projections, 1 - rule.PROJECTION_CAP, rule.PROJECTION_CAP - 1))
        rows = jnp.where(in_range[:, None], projections, 0)
        squares = jnp.stack([row @ row for row in rows])  # <= 2^55
        estimates = squares >> rule.PROJECTION_BITS
        size_ok = in_range & _size(estimates, None if first_round else limit)
        rows = jnp.where(size_ok[:, None], rows, 0)
        squares, estimates = jnp.where(size_ok, squares, 0), jnp.where(size_ok, estimates, 0)
        opened, accepted = verdicts([size_ok, _direction(rows, squares, thresholds[1])], names_condition)
        return opened, reveal(next_budget(estimates, accepted, limit, hospitals, rule.PROJECTED_RIGHT * rule.NORM_CAP))

    return verify_projected


def _size(estimates: Any, limit: Any | None) -> Any:
    median = sorted_wire(list(estimates), rule.lower_median(len(estimates)))
    if limit is None:
        largest, reference = rule.PROJECTED_LEFT * rule.LARGEST_OVER_MEDIAN * median, median
    else:
        largest, reference = rule.PROJECTED_RIGHT * limit, jnp.where(median < limit, median, limit)
    scaled = rule.PROJECTED_LEFT * estimates
    return (
        (scaled <= largest)
        & (rule.VANISHING * estimates >= reference)
        & (scaled <= rule.PROJECTED_RIGHT * rule.NORM_CAP)
    )


def _direction(rows: Any, squares: Any, margin: Any) -> Any:
    median = sorted_wire(list(rows), rule.lower_median(len(rows)))
    hospitals = len(rows)
    median_square = median @ median
    allowed = jnp.where(squares < median_square, rule.projected_margin(rule.STILL), margin)
    products = jnp.concatenate([rows @ median, median_square[None], squares]) >> rule.PROJECTED_DIRECTION_BITS
    product, square, norms = products[:hospitals], products[hospitals], products[hospitals + 1 :]
    against = rule.DIRECTION_LEFT * product * product > rule.DIRECTION_RIGHT * norms * square
    return ~((product + allowed < 0) & against)  # margin <= 2^25
