"""Ports of a process of tests' own: of one worker among those of a run, and of one run among those of other checkouts.

A node listens for the length of a computation alone: in between its port looks free to whoever starts something.
"""

from __future__ import annotations

import socket

from pipeline.host import ports

_BLOCK = 1_000
_FIRST = range(8_000, ports.RANGE.start, _BLOCK)
"""Below those that installations choose."""


def take() -> tuple[range, socket.socket]:
    """A block of ports, and the socket that holds it as long as it is open: it is bound to the port before the block.

    Raises OSError when none is left.
    """
    for first in _FIRST:
        held = socket.socket()
        try:
            held.bind((ports.LOOPBACK, first))
        except OSError:
            held.close()
            continue
        return range(first + 1, first + _BLOCK), held
    raise OSError(f"got no free port in {_FIRST}, each of which stands for {_BLOCK}; run fewer workers at once")
