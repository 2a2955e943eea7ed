"""Free ports on the loopback interface, chosen once per installation."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Collection

from pipeline.errors import Misconfigured

LOOPBACK = "127.0.0.1"

RANGE = range(20_000, 32_000)
"""Below the range from which Linux takes the ports of outgoing connections."""

_chosen: set[int] = set()
"""A node listens for the length of a computation alone: in between its port looks free."""


def is_free(port: int) -> bool:
    """Whether nobody listens on `port` of any interface."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def choose(count: int = 1, avoid: Collection[int] = ()) -> int:
    """First of `count` adjoining free ports, none of them in `avoid`, nor chosen by this process before.

    Raises Misconfigured when there is no such gap.
    """
    # where nearly all were chosen once, one that is free is chosen again
    for taken in (_chosen.union(avoid), avoid):
        for _ in range(1_000):
            first = RANGE.start + secrets.randbelow(len(RANGE) - count)
            adjoining = range(first, first + count)
            if all(port not in taken and is_free(port) for port in adjoining):
                _chosen.update(adjoining)
                return first
    raise Misconfigured(
        f"got no {count} adjoining free ports between {RANGE.start} and {RANGE.stop}; stop programs that listen there"
    )
