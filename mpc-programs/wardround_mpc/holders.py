"""Whether every component of the inputs is the same at all nodes that hold it."""

from __future__ import annotations

from Compiler.library import for_range, runtime_error_if
from Compiler.program import Program
from Compiler.types import cint, personal, regint, sint

from wardround_mpc.reading import LONGEST, chunked

BLOCK = 4096
HALF = 32
KEYS = 2
HASHES = 4
"""Words that the blocks become, half by half."""


def check(arrays):
    """End the program, at every node, when a node's copy of some component differs from another's.

    See the promise for the odds.
    """
    total = sum(array.length for array in arrays)
    blocks = -(-total // BLOCK)
    opened = cint.Array(blocks * BLOCK)
    opened.assign_vector(cint(0, size=BLOCK), (blocks - 1) * BLOCK)
    offset = 0
    at_once = []
    for array in arrays:
        if array.length <= LONGEST:
            at_once.append((offset, array.get_vector()))
        else:

            def step(start, size, array=array, offset=offset):
                opened.assign_vector(_masked(array.get_vector(start, size)), offset + start)

            chunked(array.length, step)
        offset += array.length
    if at_once:
        masked = _masked(sint.concat([values for _, values in at_once]))
        start = 0
        for offset, values in at_once:
            opened.assign_vector(masked.get_vector(start, values.size), offset)
            start += values.size
    if Program.prog.use_split() == 3:
        # drawn when every node has its sums
        drawn = cint.Array(KEYS * (blocks + HASHES * BLOCK))
        drawn.assign_vector(_halves(sint.get_random(size=drawn.length).reveal())[0])
        _compare([_hashed(opened, blocks, drawn, key * (blocks + HASHES * BLOCK)) for key in range(KEYS)])
    # four nodes: what one node sends when a value is opened, another vouches for, so the engine has compared all copies
    # already


def _masked(values):
    """Opened so that nothing is learnt; a node's own copies enter the sum that it gets."""
    return (values + sint.get_random(size=values.size)).reveal()


def _hashed(opened, blocks, drawn, offset):
    """One word for all, under keys of 32 bits from `drawn`: two differ with one word with odds of 2^-31."""
    # halves times keys of 32 bits: no two keys make the product of a difference equal in Z_2^64
    sums = [cint.Array(BLOCK) for _ in range(2)]
    for array in sums:
        array.assign_vector(cint(0, size=BLOCK))

    @for_range(blocks)
    def _(block):
        for array, half in zip(sums, _halves(opened.get_vector(block * BLOCK, BLOCK)), strict=True):
            array.assign_vector(array.get_vector() + drawn[offset + block] * half)

    words = [half for array in sums for half in _halves(array.get_vector())]
    keys = [drawn.get_vector(offset + blocks + hash_index * BLOCK, BLOCK) for hash_index in range(HASHES)]
    return sum(_total(key * word) for key, word in zip(keys, words, strict=True))


def _total(vector):
    while vector.size > 1:
        array, half = cint.Array(vector.size), vector.size // 2
        array.assign_vector(vector)
        vector = array.get_vector(0, half) + array.get_vector(half, half)
    return vector


def _halves(words):
    low = words & ((1 << HALF) - 1)
    return low, (words - low) >> HALF


def _compare(hashes):
    """Every node enters its own hashes; what is opened is whether they differ."""
    words = cint.Array(len(hashes))
    for index, word in enumerate(hashes):
        words[index] = word
    entered = [sint(personal(party, words.get_vector())) for party in range(3)]
    for first, second in ((0, 1), (1, 2)):
        gaps = (entered[first] - entered[second]).reveal()
        for index in range(len(hashes)):
            runtime_error_if(regint(gaps[index] != 0), f"components differ between parties {first} and {second}")
