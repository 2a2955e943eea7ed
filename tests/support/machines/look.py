"""What runs where this does, as JSON: processes, memory, sockets; for whoever administers a machine.

`python -m tests.support.machines.look` within its namespaces.
"""

from __future__ import annotations

import json
import os

import psutil


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
    listening: set[tuple[str, int]] = set()
    connected: set[tuple[str, int]] = set()
    for socket in psutil.net_connections("inet"):
        if socket.laddr and socket.status == psutil.CONN_LISTEN:
            listening.add((socket.laddr.ip, socket.laddr.port))
        if socket.raddr and socket.status == psutil.CONN_ESTABLISHED and not socket.raddr.ip.startswith("127."):
            connected.add((socket.raddr.ip, socket.raddr.port))
    said = {
        "processes": processes,
        "memory": memory,
        "listening": sorted(listening),
        "connected": sorted(connected),
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main()
