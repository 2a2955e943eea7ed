"""What runs where this does, as JSON: processes, memory, sockets; for whoever administers a machine.

`python -m tests.support.machines.look` within its namespaces. With `--until-closed` it tells the other ends of all
connections that it saw until its input closed.
"""

from __future__ import annotations

import json
import os
import select
import sys

import psutil

UNTIL_CLOSED = "--until-closed"
_LOOK_SECONDS = 0.5


def main() -> None:
    """Print it."""
    processes = {}
    memory = 0
    for process in psutil.process_iter():
        # The first process keeps the machine, the others are ours.
        if process.pid == 1 or process.pid == os.getpid():
            continue
        try:
            command = process.cmdline()
            memory += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
        processes[process.pid] = command
    listening = {
        (socket.laddr.ip, socket.laddr.port)
        for socket in psutil.net_connections("inet")
        if socket.laddr and socket.status == psutil.CONN_LISTEN
    }
    said = {
        "processes": processes,
        "memory": memory,
        "listening": sorted(listening),
        "connected": sorted(connected()),
    }
    print(json.dumps(said))


def watch() -> None:
    """Print the other ends of all connections, once the input closes."""
    ends = connected()
    while not select.select([sys.stdin], [], [], _LOOK_SECONDS)[0]:
        ends |= connected()
    print(json.dumps(sorted(ends)))


def connected() -> set[tuple[str, int]]:
    """The other ends of connections that stand now, loopback left out."""
    return {
        (socket.raddr.ip.removeprefix("::ffff:"), socket.raddr.port)
        for socket in psutil.net_connections("inet")
        if socket.raddr
        and socket.status == psutil.CONN_ESTABLISHED
        and not socket.raddr.ip.removeprefix("::ffff:").startswith("127.")
    }


if __name__ == "__main__":
    watch() if UNTIL_CLOSED in sys.argv else main()
