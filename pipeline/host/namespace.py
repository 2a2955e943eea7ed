"""A network namespace of this user's own, which has loopback alone. Standard library only."""

from __future__ import annotations

import fcntl
import shutil
import socket
import struct
import subprocess

ALONE = ("unshare", "--map-root-user", "--net")
"""Runs a command in a network namespace, where the machine lets its users have one."""

_SIOCSIFFLAGS = 0x8914
_IFF_UP_RUNNING = 0x1 | 0x40


def can_shut_in() -> bool:
    """Whether this machine lets this user have a network namespace."""
    return (
        shutil.which(ALONE[0]) is not None
        and subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode == 0
    )


def raise_loopback() -> None:
    """Bring `lo` up; needs to be root within the namespace."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP_RUNNING))
