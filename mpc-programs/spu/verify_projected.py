"""Verification of a large model's updates: which are accepted, and the next round's budget.

Size and direction by projections of them, peers as in `verify`.

Parties    3 nodes, ABY3 over Z_2^64, honest majority, each following the protocol (semi-honest).
Inputs     secret, int64, replicated components: projections (hospitals, 512), 16 fractional bits, which each node made
           from the components of the updates that it holds; updates, samples and labels as in `verify`.
           public: previous model and thresholds as there, the budget at most the cap on squared norms.
Learns     every node: one accept bit per hospital and one squared norm (the budget); where the study allows it, instead
           of a bit how many of the conditions size, direction, peers held before one failed (3: accepted). Nothing else
           is opened.
Exact      equal bit for bit to `pipeline.mpc.reference_projected`; the bit budget is that of
           `mpc-programs/verify_projected.mpc`, and for the models that of `pipeline.layers.plan`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from oblivious import all_true, sorted_wire
from spu.experimental import reveal
from verify import next_budget, peers, tried, verdicts, within

from pipeline.layers import PROJECTED, Network
from pipeline.mpc import rule


def program(
    network: Network,
    samples: int,
    input_range: tuple[int, int],
    first_round: bool,
    names_condition: bool,
    panel: int | None,
) -> Callable[..., Any]:
    """The function that SPU evaluates, for one network and kind of round."""

    def verify_projected(
        projections: Any, updates: Any, inputs: Any, labels: Any, previous: Any, thresholds: Any
    ) -> Any:
        hospitals, limit = projections.shape[0], thresholds[0]
        in_range = all_true(within(projections, 1 - rule.PROJECTION_CAP, rule.PROJECTION_CAP - 1))
        rows = jnp.where(in_range[:, None], projections, 0)
        squares = jnp.stack([row @ row for row in rows])  # <= 2^55
        estimates = squares >> rule.PROJECTION_BITS
        size_ok = in_range & _size(estimates, None if first_round else limit)
        rows = jnp.where(size_ok[:, None], rows, 0)
        squares, estimates = jnp.where(size_ok, squares, 0), jnp.where(size_ok, estimates, 0)
        direction_ok = _direction(rows, squares, thresholds[1])
        # within twice the norm that the budget allows, as the size says, but for odds of 2^-52
        updates = jnp.where(size_ok[:, None], updates, 0)
        _, counts = tried(network, PROJECTED, samples, input_range, panel, previous, updates, inputs, labels)
        peers_ok = peers(counts, hospitals, samples, thresholds[2:])
        opened, accepted = verdicts([size_ok, direction_ok, peers_ok], names_condition)
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
    allowed = jnp.where(squares < median_square, rule.LEAST_PROJECTED_MARGIN, margin)
    products = jnp.concatenate([rows @ median, median_square[None], squares]) >> rule.PROJECTED_DIRECTION_BITS
    product, square, norms = products[:hospitals], products[hospitals], products[hospitals + 1 :]
    against = rule.DIRECTION_LEFT * product * product > rule.DIRECTION_RIGHT * norms * square
    return ~((product + allowed < 0) & against)  # margin <= 2^25
