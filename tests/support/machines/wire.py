"""A bad wire between two plugs: slow, late, lossy, or with a firewall that forgets idle connections.

`python -m tests.support.machines.wire NEAR FAR --rate=BITS --delay=SECONDS --loss=SHARE --idle=SECONDS --seed=N`, as
root of a network namespace. `tc netem` can do the first three, but many a kernel was built without it.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import random
import select
import struct
import sys
import time
from collections import deque
from collections.abc import Sequence

READY = b"ready\n"

_TUNSETIFF = 0x400454CA
_IFF_TAP_WITHOUT_HEADER = 0x0002 | 0x1000
_LARGEST_FRAME = 1 << 16
_LONGEST_QUEUE_SECONDS = 1.0

_ETHERNET = 14
_IPV4_TCP = (b"\x08\x00", 6)
_SYN = 0x02


def tap(name: str) -> int:
    """A new network interface, as a file of its frames."""
    file = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(file, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP_WITHOUT_HEADER))
    return file


class Firewall:
    """Drops in silence what belongs to a connection that nobody used for so long."""

    def __init__(self, idle_seconds: float) -> None:
        self._idle_seconds = idle_seconds
        self._used: dict[frozenset[bytes], float] = {}

    def passes(self, frame: bytes, now: float) -> bool:
        """Whether a frame may pass; one that opens a connection may always."""
        if (frame[12:_ETHERNET], frame[_ETHERNET + 9]) != _IPV4_TCP:
            return True
        tcp = _ETHERNET + 4 * (frame[_ETHERNET] & 0x0F)
        ends = frozenset(
            {
                frame[_ETHERNET + 12 : _ETHERNET + 16] + frame[tcp : tcp + 2],
                frame[_ETHERNET + 16 : _ETHERNET + 20] + frame[tcp + 2 : tcp + 4],
            }
        )
        if not frame[tcp + 13] & _SYN and now - self._used.get(ends, now) > self._idle_seconds:
            return False
        self._used[ends] = now
        return True


class Direction:
    """Frames on their way from one plug to the other."""

    def __init__(self, to: int, *, rate: int | None, delay: float) -> None:
        self._to = to
        self._rate = rate
        self._delay = delay
        self._free = 0.0
        self._waiting: deque[tuple[float, bytes]] = deque()

    @property
    def due(self) -> float | None:
        """When the next one arrives."""
        return self._waiting[0][0] if self._waiting else None

    def take(self, frame: bytes, now: float) -> None:
        """Send one on its way, or drop it where too many wait already."""
        start = max(now, self._free)
        if start - now > _LONGEST_QUEUE_SECONDS:
            return
        self._free = start + (8 * len(frame) / self._rate if self._rate else 0)
        self._waiting.append((self._free + self._delay, frame))

    def deliver(self, now: float) -> None:
        """Hand over all that have arrived."""
        while self._waiting and self._waiting[0][0] <= now:
            # A plug that is not up, or no more, takes none.
            with contextlib.suppress(OSError):
                os.write(self._to, self._waiting.popleft()[1])


def main(arguments: Sequence[str]) -> None:
    """Carry frames until somebody ends this."""
    parser = argparse.ArgumentParser()
    parser.add_argument("plugs", nargs=2)
    parser.add_argument("--rate", type=int, help="bits a second, each way")
    parser.add_argument("--delay", type=float, default=0, help="seconds, each way")
    parser.add_argument("--loss", type=float, default=0, help="share of frames that do not arrive, each way")
    parser.add_argument("--idle", type=float, help="seconds after which a TCP connection is forgotten")
    parser.add_argument("--seed", type=int, default=0)
    said = parser.parse_args(arguments)
    near, far = map(tap, said.plugs)
    directions = {
        near: Direction(far, rate=said.rate, delay=said.delay),
        far: Direction(near, rate=said.rate, delay=said.delay),
    }
    firewall = None if said.idle is None else Firewall(said.idle)
    chance = random.Random(said.seed)  # noqa: S311
    sys.stdout.buffer.write(READY)
    sys.stdout.flush()
    while True:
        dues = [direction.due for direction in directions.values() if direction.due is not None]
        left = max(0.0, min(dues) - time.monotonic()) if dues else None
        ready, _, _ = select.select(list(directions), [], [], left)
        now = time.monotonic()
        for plug in ready:
            frame = os.read(plug, _LARGEST_FRAME)
            if chance.random() >= said.loss and (firewall is None or firewall.passes(frame, now)):
                directions[plug].take(frame, now)
        for direction in directions.values():
            direction.deliver(now)


if __name__ == "__main__":
    main(sys.argv[1:])
