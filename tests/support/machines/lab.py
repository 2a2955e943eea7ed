"""Networks, and whoever is root over them, on this one machine and without being its administrator.

All of it stands in one namespace of processes whose first process ends when the test does, however that ends. With it
end all machines, and with them their networks: nothing is left to be torn down.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from subprocess import PIPE

import psutil

MORTAL = ("setpriv", "--pdeathsig", "KILL")
"""Runs a command that the kernel ends together with its parent."""

_STANDS = b"stands\n"

STAND = f"echo {_STANDS.decode().strip()}; exec env --ignore-signal=CHLD cat"
"""Shell text of a namespace's first process: lives until its input closes, and lets no dead process lie about."""

NAMESPACES = ("--mount", "--net", "--pid", "--ipc", "--uts")
"""What a machine has of its own, as `unshare` and `nsenter` call it."""

MAKE = ("unshare", *NAMESPACES, "--fork", "--kill-child", "--mount-proc")
"""Runs a command as the first process of such namespaces."""

_AS_ROOT_WITHIN = ("--map-root-user",)

# All that a lab asks of a machine.
_TRIAL = """
ip link add trial type bridge
ip link add trial-a type veth peer name trial-b
ip link set trial-a master trial
ip link set trial-a type bridge_slave isolated on
ip tuntap add mode tap name trial-tap
mount -t tmpfs none /home
mount -o remount,bind,ro /
exec unshare --mount --net --pid --ipc --uts --fork --mount-proc true
"""


@dataclass(frozen=True)
class Network:
    """A switch that machines are plugged into; no packet leaves it."""

    name: str
    prefix: str
    """The first three bytes of its addresses."""
    hub: str | None = None
    """The one machine that all others reach, and nothing else; None where everybody reaches everybody."""

    def address(self, place: int) -> str:
        """Of the machine in this place."""
        return f"{self.prefix}.{place}"


SITES = Network("sites", "10.81.1", hub="provider")
"""Every site calls the provider."""

PARTIES = Network("parties", "10.81.2")
"""The nodes' own."""

VALIDATORS = Network("validators", "10.81.3")
"""A BFT chain's own."""


@cache
def missing() -> str | None:
    """Why there can be no lab here."""
    try:
        _elevation()
    except LookupError as error:
        return str(error)
    return None


@cache
def _elevation() -> Sequence[str]:
    """What `unshare` needs beyond to make us root within; raises LookupError."""
    said = ""
    for elevation in ((), _AS_ROOT_WITHIN) if os.geteuid() == 0 else (_AS_ROOT_WITHIN,):
        done = subprocess.run(
            [*MAKE, *elevation, "bash", "-euc", _TRIAL], env=_environment(), capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return elevation
        said = done.stderr.strip()
    raise LookupError(
        f"want iproute2, /dev/net/tun and `unshare --map-root-user --net --mount --pid true`; got: {said}"
    )


def _environment() -> Mapping[str, str]:
    # Debian keeps iproute2 where users do not look.
    return {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}


class Namespaces:
    """Namespaces that live as long as their first process; made by a command that runs `STAND` in them."""

    def __init__(self, command: Sequence[str]) -> None:
        self._starter = subprocess.Popen(command, stdin=PIPE, stdout=PIPE, env=_environment())
        assert self._starter.stdout is not None
        said = self._starter.stdout.readline()
        if said != _STANDS:
            self.close()
        assert said == _STANDS, f"namespaces did not come up; above stands what it wrote beyond {said!r}"
        self.first = psutil.Process(self._starter.pid)
        """By its number outside."""
        while children := self.first.children():
            (self.first,) = children

    def close(self) -> None:
        """End every process within."""
        assert self._starter.stdin is not None
        self._starter.stdin.close()
        self._starter.wait()


class Lab:
    """Networks without machines."""

    def __init__(self, folder: Path, namespaces: Namespaces) -> None:
        self.folder = folder
        self._namespaces = namespaces
        self.places: dict[str, int] = {}
        """The machines' last byte of their addresses."""

    @classmethod
    @contextmanager
    def standing(cls, folder: Path, networks: Sequence[Network] = (SITES, PARTIES)) -> Iterator[Lab]:
        """A lab, until the context ends or the process that asked for it."""
        lab = cls(folder, Namespaces([*MAKE, *_elevation(), "sh", "-c", STAND]))
        try:
            for network in networks:
                lab.do("ip", "link", "add", network.name, "up", "type", "bridge")
            yield lab
        finally:
            lab._namespaces.close()

    @property
    def has_users(self) -> bool:
        """Whether machines can have users of their own; otherwise they are one, under different numbers."""
        _, _, count = Path(f"/proc/{self._namespaces.first.pid}/uid_map").read_text().split()
        return int(count) > 1

    def within(self, process: psutil.Process) -> int:
        """A process's number in the lab."""
        (line,) = [line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if "NSpid" in line]
        return int(line.split()[2])

    def command(self, *command: str) -> list[str]:
        """What runs a command as root of the lab."""
        user = ("--user", "--preserve-credentials") if _elevation() else ()
        return ["nsenter", f"--target={self._namespaces.first.pid}", *NAMESPACES, *user, *MORTAL, *command]

    def do(self, *command: str, text: str = "") -> str:
        """Run a command as root of the lab; what it printed."""
        done = subprocess.run(
            self.command(*command), input=text, env=_environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout
