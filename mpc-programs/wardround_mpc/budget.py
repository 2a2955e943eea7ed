"""The next budget: 9/4 of the lower median of the accepted updates' squared norms."""

from __future__ import annotations

from Compiler.types import cint, regint

from wardround_mpc.selection import tally


def following(updates, accepted, before):
    """Secret; `accepted` is open, and `before` the budget that stays when nobody is."""
    n = accepted.size
    opened = cint.Array(n)
    opened.assign_vector(accepted)
    bits = [opened[j] for j in range(n)]
    count = sum(bits)
    earlier = []
    for by, first in enumerate(updates.first, start=1):
        turned = cint.Array(n)
        for j in range(n):
            turned[j] = bits[(j + by) % n]
        earlier.append(first * turned.get_vector())
    ranks = tally(earlier) if earlier else [1]
    # the lower median of an even or odd count, without a division
    wanted = [regint(2 * rank == count - 1) + regint(2 * rank == count - 2) for rank in range(n)]
    chosen = sum(rank * cint(mark).expand_to_vector(n) for rank, mark in zip(ranks, wanted, strict=True))
    nobody = cint(regint(count) == 0)
    return (chosen * accepted * updates.budgets).sum() + nobody * before
