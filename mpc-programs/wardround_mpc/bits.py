"""Signs and exact floors of secret integers, by adding the bits of their components.

Every bound is the caller's promise.
"""

from __future__ import annotations

from Compiler.instructions import trunc_pr
from Compiler.program import Program
from Compiler.types import sint
from Compiler.util import tree_reduce

RING = 64

GROUP = 4
"""Positions of an addition that one carry walks through before the tree of carries begins: fewer conjunctions, one more
round."""


def width(bound):
    """Bits of a two's complement number within +-bound."""
    return bound.bit_length() + 1


def negative(x, bound):
    """1 where x < 0; |x| <= bound < 2^63."""
    return top_bit(x, width(bound))


def top_bit(x, k, group=GROUP):
    """Bit k - 1 of x, whatever the bits above."""
    return sint.conv(_top_bit(x, k, group))


def outside(x, lowest, highest, k):
    """1 where x lies outside [lowest, highest], for any x of the ring; 0 <= highest - lowest < 2^k, 0 < k < 63."""
    far = _reaches(x - lowest, k)
    # of what is not that far the lowest bits are all there is
    above = _top_bit(highest - x, k + 1, GROUP)
    return sint.conv(_either(far, above))


def is_zero(x, bound):
    """1 where x = 0; 0 <= x <= bound."""
    return negative(x - 1, bound + 1)


def narrow(x, bits, rectify, bound):
    """floor(x / 2^bits), and with `rectify` its maximum with 0; |x| <= bound < 2^62."""
    if bits >= width(bound) - 1:
        # nothing is left but the sign
        return sint(0, size=x.size) if rectify else -negative(x, bound)
    if not bits:
        return x - negative(x, bound) * x if rectify else x
    guessed = guess(x, bits, width(bound))
    floor = guessed - top_bit(x - guessed * (1 << bits), bits + 1)
    return floor - negative(guessed - 1, left(bits, bound)) * floor if rectify else floor


def left(bits, bound):
    """Bound of a guess less 1: where it is negative, the floor is not positive, and elsewhere not negative."""
    return (bound >> bits) + 2


def guess(x, bits, k):
    """floor(x / 2^bits) or one more, of k-bit numbers."""
    # The engine's truncation carries the bits above exactly (option -E 64 of the run: no gap is large enough for its
    # shortcut) but not the ones below: it gives the floor or one more, by chance (replicated-ring: of x - 1, hence x +
    # 1). The remainder's sign tells which.
    truncated = sint(size=x.size)
    trunc_pr(truncated, x + 1 if Program.prog.use_split() == 3 else x, k, bits)
    return truncated


def _top_bit(x, k, group):
    u, v = _summands(x, k)
    return u[-1] ^ v[-1] ^ _carry(u[:-1], v[:-1], group) if k > 1 else u[0] ^ v[0]


def _reaches(x, k):
    """1 where a bit of x from k on is 1, without the carries there.

    Where no bit of a sum is 1, one summand's bit is carried on.
    """
    u, v = _summands(x, RING)
    either = [i ^ j for i, j in zip(u, v, strict=True)]
    carried = [
        _carry(u[:k], v[:k], GROUP),
        *(differ ^ (i & j) for differ, i, j in zip(either[k:-1], u[k:-1], v[k:-1], strict=True)),
    ]
    return tree_reduce(_either, [differ ^ carry for differ, carry in zip(either[k:], carried, strict=True)])


def _either(i, j):
    return i ^ j ^ (i & j)


def _summands(x, k):
    # two cost a message and save the adders that three or four components need
    return (list(row) for row in zip(*x.split_to_n_summands(k, 2), strict=True))


def _carry(u, v, group):
    """What is carried out of the highest position."""
    firsts = range(0, len(u), group)
    return tree_reduce(
        _after, [_group(u[first : first + group], v[first : first + group], first > 0) for first in firsts]
    )[1]


def _group(u, v, propagates):
    """(propagates, generates) of a few neighbouring positions.

    With one conjunction a position where a tree takes three.
    """
    either = [i ^ j for i, j in zip(u, v, strict=True)]
    generates = u[0] & v[0]
    for i, differ in zip(u[1:], either[1:], strict=True):
        # the carry goes on where the two bits differ, and is either of them where they agree
        generates = i ^ (differ & (generates ^ i))
    return tree_reduce(lambda low, high: low & high, either) if propagates else None, generates


def _after(low, high):
    """(propagates, generates) of two neighbouring groups of positions; the lowest group propagates nothing."""
    return None if low[0] is None else low[0] & high[0], high[1] ^ (high[0] & low[1])
