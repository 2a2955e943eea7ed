"""Chains of comparisons that do not depend on one another, a step of each at once.

Rounds are those of the longest, not their sum.
"""

from __future__ import annotations

from dataclasses import dataclass

from Compiler.types import sint

from wardround_mpc import bits


@dataclass(frozen=True)
class Sign:
    """1 where x < 0; |x| <= bound < 2^63."""

    x: object
    bound: int


@dataclass(frozen=True)
class Floor:
    """floor(x / 2^bits), and with `rectify` its maximum with 0; |x| <= bound < 2^62."""

    x: object
    bits: int
    rectify: bool
    bound: int


def together(joint, *chains):
    """Run generators that yield lists of requests and are sent what they asked for.

    `joint`: one addition of bits for all of a step.

    Where rounds are cheap, each width has an addition of its own, and carries are walked through in larger groups.
    """
    waiting = {chain: _next(chain, None) for chain in chains}
    while waiting := {chain: asked for chain, asked in waiting.items() if asked is not None}:
        answers = iter(_answers([request for asked in waiting.values() for request in asked], joint))
        waiting = {chain: _next(chain, [next(answers) for _ in asked]) for chain, asked in waiting.items()}


def alone(chain, joint=False):
    """Run one generator to its end; what it returns."""
    asked = next(chain)
    while True:
        try:
            asked = chain.send(_answers(asked, joint))
        except StopIteration as end:
            return end.value


def _next(chain, answers):
    try:
        return chain.send(answers)
    except StopIteration:
        return None


def _answers(requests, joint):
    guesses = [
        bits.guess(request.x, request.bits, bits.width(request.bound)) if _is_guessed(request) else None
        for request in requests
    ]
    looked_up = []
    for request, guess in zip(requests, guesses, strict=True):
        if guess is None:
            looked_up.append((request.x, bits.width(request.bound)))
            continue
        looked_up.append((request.x - guess * (1 << request.bits), request.bits + 1))
        if request.rectify:
            looked_up.append((guess - 1, bits.width(bits.left(request.bits, request.bound))))
    signs = iter(_signs(looked_up, joint))
    return [_answer(request, guess, signs) for request, guess in zip(requests, guesses, strict=True)]


def _is_guessed(request):
    return isinstance(request, Floor) and 0 < request.bits < bits.width(request.bound) - 1


def _answer(request, guess, signs):
    if isinstance(request, Sign):
        return next(signs)
    if guess is not None:
        # the guess is the floor or one more
        floor = guess - next(signs)
        return floor - next(signs) * floor if request.rectify else floor
    negative = next(signs)
    if not request.bits:
        return request.x - negative * request.x if request.rectify else request.x
    # nothing is left but the sign
    return sint(0, size=negative.size) if request.rectify else -negative


def _signs(asked, joint):
    """Bit k - 1 of x for every (x, k)."""
    if not asked:
        return []
    widest = max(k for _, k in asked)
    if joint:
        asked = [(x * (1 << (widest - k)), widest) for x, k in asked]
    signs = [None] * len(asked)
    for width in sorted({k for _, k in asked}):
        indices = [index for index, (_, k) in enumerate(asked) if k == width]
        whole = bits.top_bit(sint.concat([asked[index][0] for index in indices]), width, 2 if joint else bits.GROUP)
        start = 0
        for index in indices:
            size = asked[index][0].size
            signs[index] = whole.get_vector(start, size)
            start += size
    return signs
