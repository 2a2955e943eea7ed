"""A machine's plug into one network: to be pulled, and to be made slow, late or lossy."""

from __future__ import annotations

import subprocess
import sys
from subprocess import PIPE

from pipeline.site.settings import PROJECT
from tests.support.machines.lab import Lab, Network
from tests.support.machines.wire import READY


class Link:
    """A machine's plug into one network."""

    def __init__(self, lab: Lab, network: Network, machine: str) -> None:
        self._lab = lab
        self._network = network
        self._machine = machine
        self._place = lab.places[machine]
        # An interface's name has 15 letters at most.
        self._port = f"{network.name}{self._place}"
        self._wire: subprocess.Popen[bytes] | None = None

    def plug(self, machine: int) -> None:
        """Lay the cable to a machine, known by the number of its first process in the lab."""
        network = self._network
        # The same machine has the same hardware address after it was switched off.
        mac = "02:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}".format(*map(int, network.prefix.split(".")), 0, self._place)
        self._ip("link", "add", self._port, "type", "veth", "peer", network.name, "address", mac, "netns", str(machine))
        self._attach(self._port)
        inside = ("nsenter", f"--target={machine}", "--net", "ip")
        self._lab.do(*inside, "address", "add", f"{network.address(self._place)}/24", "dev", network.name)
        self._lab.do(*inside, "link", "set", network.name, "addrgenmode", "none", "up")
        # Who asks for an address that nobody answers for is told so at once, and not after three seconds.
        patience = f"/proc/sys/net/ipv4/neigh/{network.name}/retrans_time_ms"
        self._lab.do("nsenter", f"--target={machine}", "--net", "sh", "-c", f"echo 100 > {patience}")

    def unplug(self) -> None:
        """Take the cable away."""
        self.mend()
        self._ip("link", "delete", self._port)

    def down(self) -> None:
        """Pull the plug at the switch."""
        self._ip("link", "set", self._port, "down")

    def up(self) -> None:
        """Put it back."""
        self._ip("link", "set", self._port, "up")

    def impair(
        self, *, rate: int | None = None, delay: float = 0, loss: float = 0, idle: float | None = None, seed: int = 0
    ) -> None:
        """Lead the link through a bad wire; see `wire`."""
        self.mend()
        near = f"{self._port}n"
        far = f"{self._port}f"
        own = f"{self._port}b"
        options = {"rate": rate, "delay": delay, "loss": loss, "idle": idle, "seed": seed}
        given = [f"--{name}={value}" for name, value in options.items() if value is not None]
        module = ("env", f"--chdir={PROJECT}", sys.executable, "-m", "tests.support.machines.wire")
        self._wire = subprocess.Popen(self._lab.command(*module, near, far, *given), stdout=PIPE)
        assert self._wire.stdout is not None
        assert self._wire.stdout.readline() == READY
        self._ip("link", "add", own, "up", "type", "bridge")
        for port in (self._port, near):
            self._ip("link", "set", port, "master", own, "up")
        self._attach(far)

    def mend(self) -> None:
        """Take the bad wire out."""
        if self._wire is None:
            return
        self._wire.kill()
        self._wire.wait()
        self._wire = None
        self._attach(self._port)
        self._ip("link", "delete", f"{self._port}b")

    def _attach(self, port: str) -> None:
        self._ip("link", "set", port, "master", self._network.name, "up")
        alone = "off" if self._network.hub in (None, self._machine) else "on"
        self._ip("link", "set", port, "type", "bridge_slave", "isolated", alone)

    def _ip(self, *words: str) -> None:
        self._lab.do("ip", *words)
