"""Runs a command in a network namespace where only loopback exists: `unshare --map-root-user --net python -m tests.support.alone COMMAND`.

A validator's peer-to-peer port has no bind address: beyond the namespace it would listen to everybody.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import sys

_SIOCSIFFLAGS = 0x8914
_IFF_UP_RUNNING = 0x1 | 0x40


def raise_loopback() -> None:
    """Bring `lo` up; needs to be root within the namespace."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP_RUNNING))


def interfaces() -> list[str]:
    """The network's interfaces."""
    return [name for _, name in socket.if_nameindex()]


if __name__ == "__main__":
    if interfaces() != ["lo"]:
        sys.exit(f"got the network {', '.join(interfaces())}, want loopback alone; start this with `unshare --map-root-user --net`")
    raise_loopback()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606
