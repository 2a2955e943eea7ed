"""Runs a command in a network namespace where only loopback exists.

`unshare --map-root-user --net python -m tests.support.alone COMMAND`.

A validator's peer-to-peer port has no bind address: beyond the namespace it would listen to everybody.
"""

from __future__ import annotations

import os
import socket
import sys

from pipeline.host.namespace import raise_loopback


def interfaces() -> list[str]:
    """The network's interfaces."""
    return [name for _, name in socket.if_nameindex()]


if __name__ == "__main__":
    if interfaces() != ["lo"]:
        sys.exit(
            f"got the network {', '.join(interfaces())}, want loopback alone; start this with `unshare --map-root-user"
            " --net`"
        )
    raise_loopback()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606
