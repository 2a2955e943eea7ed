"""One member's machine: its folder, its user, its processes, its plugs into networks, and no other member's.

It knows by name whom it reaches, and has no route to anywhere else.

As root each machine has a user of its own. Where `unshare --map-root-user` leaves but one user, machines are kept apart
by their namespaces of files and processes, and call that user by different numbers.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import libfaketime
import psutil

from pipeline.site.settings import HOME, PROJECT, VARIABLES, Settings
from tests.support.machines import files, look
from tests.support.machines.lab import MAKE, MORTAL, NAMESPACES, STAND, Lab, Namespaces, Network
from tests.support.machines.link import Link

_LOOK = ("env", f"--chdir={PROJECT}", sys.executable, "-m", look.__name__)

_FIRST_USER = 20_000

_COMPILED = ("spu", "mp-spdz")
"""Folders of the cache into which a node's engine compiles; all else there is to be read only."""

_FAKETIME = Path(libfaketime.__file__).with_name("vendor") / "libfaketime/src/libfaketime.so.1"


@dataclass(frozen=True)
class Seen:
    """What runs at a machine."""

    processes: Mapping[int, Sequence[str]]
    """Command lines, without the machine's own first process."""
    memory: int
    """Bytes of all of them; what several map counts once."""
    listening: frozenset[tuple[str, int]]
    """Addresses and ports."""
    connected: frozenset[tuple[str, int]]
    """The other ends of connections that stand, loopback left out."""


@dataclass(frozen=True)
class Service:
    """A command that runs at a machine."""

    starter: subprocess.Popen[bytes]
    log: Path

    @property
    def process(self) -> psutil.Process:
        """The command itself, by its number outside: to be stopped, continued or killed."""
        process = psutil.Process(self.starter.pid)
        # The lab's nsenter, the machine's nsenter, the command.
        for _ in range(2):
            (process,) = process.children()
        return process

    def said(self) -> str:
        """All that it wrote."""
        return self.log.read_text()

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        self.process.terminate()
        return self.starter.wait()

    def kill(self) -> None:
        """kill -9, of the command alone."""
        self.process.kill()
        self.starter.wait()


class Machine:
    """A machine that is switched on, plugged into networks."""

    def __init__(self, lab: Lab, name: str, networks: Sequence[Network]) -> None:
        self.name = name
        self.clock = timedelta()
        """By how much the clock is wrong, for whatever is started from now on."""
        self._lab = lab
        self._networks = networks
        lab.places[name] = place = len(lab.places) + 1
        self._user = _FIRST_USER + place
        self.folder = lab.folder / name / "home"
        """Its folder, as the test sees it."""
        for folder in (self.folder, self._tmp, *map(self._compiled, _COMPILED)):
            folder.mkdir(parents=True, mode=0o700)
            if lab.has_users:
                os.chown(folder, self._user, self._user)
        self._etc.mkdir()
        (self._etc / "hosts").touch()
        (self._etc / "resolv.conf").touch()
        account = f"{name}:x:{self._user}:{self._user}::{self.home}:/bin/sh\n"
        (self._etc / "passwd").write_text(Path("/etc/passwd").read_text() + account)
        (self._etc / "group").write_text(Path("/etc/group").read_text() + f"{name}:x:{self._user}:\n")
        self.links = {network.name: Link(lab, network, name) for network in networks}
        self.switch_on()

    @property
    def home(self) -> Path:
        """Its folder, as it sees it itself."""
        return Path("/home") / self.name

    @property
    def site(self) -> Path:
        """Its installation, as it sees it itself."""
        return self.home / "site"

    def path(self, name: str) -> Path:
        """Where the test finds a file of its folder."""
        return self.folder / name

    def receive(self, name: str, data: bytes) -> str:
        """Put a file into its folder, as by hand; its name there."""
        path = self.path(name)
        path.write_bytes(data)
        if self._lab.has_users:
            os.chown(path, self._user, self._user)
        return name

    def address(self, network: Network) -> str:
        """Where it is."""
        return network.address(self._lab.places[self.name])

    @property
    def _etc(self) -> Path:
        return self._lab.folder / self.name / "etc"

    @property
    def _tmp(self) -> Path:
        return self._lab.folder / self.name / "tmp"

    def _compiled(self, name: str) -> Path:
        return self._lab.folder / self.name / "compiled" / name

    def switch_on(self) -> None:
        """Start it on what its folder holds."""
        own = {
            **{self._etc / name: Path("/etc") / name for name in ("hosts", "resolv.conf", "passwd", "group")},
            self._tmp: Path("/tmp"),  # noqa: S108
            self.folder: self.home,
            **{self._compiled(name): Settings.load().cache / name for name in _COMPILED},
        }
        prepared = [f"hostname {self.name}", *files.shell(own, self._lab.folder)]
        script = "\n".join([*prepared, f"exec {shlex.join(self._become)} sh -c {shlex.quote(STAND)}"])
        self._namespaces = Namespaces(self._lab.command(*MAKE, "bash", "-euc", script))
        self._first = self._lab.within(self._namespaces.first)
        self.as_root("ip", "link", "set", "lo", "up")
        for link in self.links.values():
            link.plug(self._first)

    def switch_off(self) -> None:
        """Cut its power: no process of it gets to do anything more."""
        for link in self.links.values():
            link.unplug()
        self._namespaces.close()

    def know(self, others: Sequence[Machine]) -> None:
        """Write down the names of all machines that it reaches, and its own."""
        known = {"localhost": "127.0.0.1", self.name: self.address(self._networks[-1])}
        for network in self._networks:
            for other in others:
                if network in other._networks and network.hub in (None, other.name):
                    known.setdefault(other.name, other.address(network))
        (self._etc / "hosts").write_text("".join(f"{address} {name}\n" for name, address in known.items()))

    @property
    def _become(self) -> Sequence[str]:
        """What runs a command as the machine's user."""
        if self._lab.has_users:
            return ("setpriv", f"--reuid={self._user}", f"--regid={self._user}", "--clear-groups")
        return ("unshare", "--user", f"--map-user={self._user}", f"--map-group={self._user}")

    @property
    def environment(self) -> Mapping[str, str]:
        """Of all its processes; nothing is inherited."""
        settings = Settings.load().environment
        shifted = {}
        if self.clock:
            shifted = {
                "LD_PRELOAD": str(_FAKETIME),
                "FAKETIME": f"{self.clock.total_seconds():+.0f}",
                # Or whoever waits for an event waits for ever.
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
        return {
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(self.home),
            "USER": self.name,
            "LOGNAME": self.name,
            "LANG": "C.UTF-8",
            "COLUMNS": "200",
            **{name: settings[name] for name in VARIABLES.values()},
            HOME: str(self.site),
            VARIABLES["studies"]: str(self.site / "studies"),
            **shifted,
        }

    def command(self, *command: str) -> list[str]:
        """What runs a command here as its user."""
        user = self._become if self._lab.has_users else ("--user", "--preserve-credentials")
        return self._lab.command(*self._entering, *user, *MORTAL, *self._at_home, *command)

    @property
    def _entering(self) -> Sequence[str]:
        return ("nsenter", f"--target={self._first}", *NAMESPACES)

    @property
    def _at_home(self) -> Sequence[str]:
        # Only here: what is preloaded must not be loaded by whoever enters.
        said = (f"{name}={value}" for name, value in self.environment.items())
        return ("env", "--ignore-environment", f"--chdir={self.home}", *said)

    def as_root(self, *command: str) -> str:
        """Run a command here as whoever administers the machine; what it printed."""
        return self._lab.do(*self._entering, *MORTAL, *command)

    def run(self, *command: str, ends_with: int | None = 0, seconds: float = 120, text: str = "") -> str:
        """Run a command here; its output, errors too, after it ended with the wanted code."""
        done = subprocess.run(
            self.command(*command),
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert ends_with in (None, done.returncode), (
            f"{self.name}: {' '.join(command)}: exit {done.returncode}\n{done.stdout}"
        )
        return done.stdout

    def wardround(self, *arguments: str, **options: Any) -> str:
        """Run the command here; like `run`."""
        return self.run("wardround", *arguments, **options)

    def python(self, text: str, *arguments: str, **options: Any) -> str:
        """Run a Python program here; like `run`."""
        return self.run("python", "-c", text, *arguments, **options)

    def start(self, name: str, *command: str) -> Service:
        """Start a command here, and leave it running until the machine is switched off; its log has this name."""
        log = self._lab.folder / self.name / f"{name}.log"
        with log.open("ab") as output:
            starter = subprocess.Popen(self.command(*command), stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        return Service(starter, log)

    @contextmanager
    def watched(self) -> Iterator[set[tuple[str, int]]]:
        """The other ends of all connections that stand here meanwhile, known at the end of the block."""
        command = self._lab.command(*self._entering, *MORTAL, *_LOOK, look.UNTIL_CLOSED)
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        ends: set[tuple[str, int]] = set()
        try:
            yield ends
        finally:
            said, _ = process.communicate()
            ends |= {(host, port) for host, port in json.loads(said)}

    def look(self) -> Seen:
        """What runs here now."""
        said = json.loads(self.as_root(*_LOOK))
        return Seen(
            {int(number): command for number, command in said["processes"].items()},
            said["memory"],
            frozenset((host, port) for host, port in said["listening"]),
            frozenset((host, port) for host, port in said["connected"]),
        )
