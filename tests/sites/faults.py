"""Rounds of a consortium on machines of its own in which something goes wrong, and what is heard of them.

Each fault is written down for the docs' table.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, cast

from pipeline.site.settings import PROJECT
from tests.sites import table
from tests.sites.conftest import HOSPITALS, Sites
from tests.sites.table import FaultRow
from tests.support.machines.machine import Machine

_ROUND_SECONDS = 900

_CONSOLE = """
import sys
from pipeline.site.settings import Settings
from tests.support.console import PROVIDER, client
print(client(Settings.load(), PROVIDER).get(f"/rounds/{sys.argv[1]}").text)
"""

_SPARE_MEBIBYTES = 400
"""Room on a small disk beside what lies there: enough for rounds, soon filled."""


@dataclass(frozen=True)
class Played:
    """One round."""

    said: str
    """By the command."""
    shown: str
    """By `wardround show` afterwards."""
    seconds: float

    @property
    def is_aborted(self) -> bool:
        """Whether it has no model."""
        return ": aborted" in self.shown

    @property
    def ended(self) -> str:
        """How, for the table of faults."""
        return (
            "aborted" if self.is_aborted else f"finalised, {self.shown.count('accepted')} of {len(HOSPITALS)} accepted"
        )

    def accepts_all_but(self, *missing: str) -> None:
        """It has a model of all other hospitals."""
        assert "finalised" in self.shown, f"{self.said}\n{self.shown}"
        assert self.shown.count("accepted") == len(HOSPITALS) - len(missing), f"{self.said}\n{self.shown}"

    def says(self, words: str) -> str:
        """The part of what the command and `show` said that fits a regular expression."""
        heard = re.search(words, f"{self.said}\n{self.shown}")
        assert heard, f"{self.said}\n{self.shown}"
        return heard[0]


@dataclass(frozen=True)
class Faults:
    """What each fault ended in, as far as the tests have come."""

    rows: list[FaultRow]

    def add(self, fault: str, ended: Played | str, told: str = "nobody") -> None:
        """One more."""
        of_round = ended if isinstance(ended, Played) else None
        words = " ".join(told.split())
        self.rows.append(
            FaultRow(
                fault,
                of_round.ended if of_round else str(ended),
                words,
                of_round.seconds if of_round else None,
            )
        )
        table.write("faults", [asdict(row) for row in self.rows])


def watched(sites: Sites) -> Mapping[str, Any] | None:
    """What the provider's watch keeps between two looks; None before its first."""
    kept = sites.provider.run("cat", "site/watch.json", ends_with=None)
    return cast("Mapping[str, Any]", json.loads(kept)) if kept.startswith("{") else None


def noticed(sites: Sites, *words: str) -> bool:
    """Whether a notice of these words was sent."""
    kept = watched(sites) or {"waiting": []}
    return any(all(word in f"{one['title']} {one['text']}" for word in words) for one in kept["waiting"])


def console(sites: Sites, number: int) -> str:
    """The page of a round, as the provider's people see it."""
    return sites.provider.run("env", f"--chdir={PROJECT}", "python", "-c", _CONSOLE, str(number))


def told_as_aborted(sites: Sites, number: int) -> None:
    """`show`, the console and a notice say of a round that it has no model."""
    assert "aborted" in sites.provider.wardround("show", str(number))
    assert "aborted" in console(sites, number)
    until(lambda: noticed(sites, f"round {number} of study small was aborted"))


def told_as_absent(sites: Sites, number: int, hospital: str) -> None:
    """`show`, the console and a notice say of a round whom it missed, and why."""
    for said in (sites.provider.wardround("show", str(number)), console(sites, number)):
        assert re.search(rf"{hospital}.*?it shared no update in time", said, re.DOTALL), said
    until(lambda: noticed(sites, f"absent in round {number} of study small", hospital, "it shared no update in time"))


@contextmanager
def on_a_small_disk(machine: Machine) -> Iterator[None]:
    """Let a site lie on a disk of its own with little room, and back where it was."""
    machine.wardround("down")
    size = int(machine.run("du", "-sm", "site").split()[0]) + _SPARE_MEBIBYTES
    disk = str(machine.home / "disk")
    machine.as_root("mkdir", "-p", disk)
    machine.as_root("mount", "-t", "tmpfs", "-o", f"size={size}m,mode=755", "none", disk)
    machine.as_root("cp", "-a", f"{machine.site}/.", disk)
    for like in ("chown", "chmod"):
        machine.as_root(like, f"--reference={machine.site}", disk)
    machine.as_root("mount", "--bind", disk, str(machine.site))
    machine.wardround("up", seconds=400)
    try:
        yield
    finally:
        machine.wardround("down")
        machine.as_root("umount", str(machine.site))
        # What came meanwhile comes along; what went, as databases' files do, goes too.
        machine.as_root("sh", "-c", f"find {machine.site} -mindepth 1 -delete; cp -a {disk}/. {machine.site}")
        machine.as_root("umount", disk)
        machine.wardround("up", seconds=400)


def last(sites: Sites) -> int:
    """The number of the last round."""
    return max(map(int, re.findall(r"^\W*(\d+)\b", sites.provider.wardround("rounds"), re.MULTILINE)), default=0)


def play(sites: Sites, meanwhile: Callable[[], object] = lambda: None) -> Played:
    """One round, with something happening meanwhile."""
    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        command = pool.submit(sites.provider.wardround, "run", "small", seconds=_ROUND_SECONDS, ends_with=None)
        meanwhile()
        said = command.result()
    seconds = time.monotonic() - began
    return Played(said, sites.provider.wardround("show", str(last(sites))), seconds)


def on_one_line(said: str, words: str) -> str:
    """What was said, which has these words, without a terminal's frame."""
    plain = " ".join(re.sub(r"[^\x20-\x7e\n]", " ", said).split())
    assert words in plain, said
    return plain


def processes(machine: Machine, part: str) -> list[int]:
    """The processes at a machine with this part in their command lines, by their numbers there."""
    return sorted(number for number, command in machine.look().processes.items() if part in " ".join(command))


def until(happens: Callable[[], object], seconds: float = 240) -> None:
    """Wait for it."""
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def reached(sites: Sites, step: str) -> Callable[[], bool]:
    """Whether a step of the running round was ever at work at a node's or hospital's site, as its log there says."""
    before = {name: _log(machine).count(step) for name, machine in sites.machines.items()}
    return lambda: any(_log(machine).count(step) > before[name] for name, machine in sites.machines.items())


def _log(machine: Machine) -> str:
    path = machine.path("site/logs/worker.log")
    return path.read_text(errors="replace") if path.exists() else ""


@contextmanager
def impaired(machine: Machine, network: str, **how: float) -> Iterator[None]:
    """A bad wire to a machine."""
    machine.links[network].impair(**how)  # type: ignore[arg-type]
    try:
        yield
    finally:
        machine.links[network].mend()
