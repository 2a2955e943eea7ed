"""What these tests saw, as JSON below build/sites, for `python -m benchmarks.sites`.

What ran at each site while a round ran, how long rounds took there and on one machine, and what each fault ended in.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from pipeline.site.settings import PROJECT
from tests.support.machines.machine import Seen

FOLDER = PROJECT / "build" / "sites"

_MIB = 1 << 20
_PROGRAMS = {
    "airflow edge worker": "Airflow's Edge worker",
    "airflow edge": "Airflow's Edge worker",
    "airflow worker": "a step",
    "airflow supervisor": "a step",
    "airflow scheduler": "Airflow's scheduler",
    "airflow dag-processor": "Airflow's DAG processor",
    "airflow api_server": "Airflow's API",
    "airflow api-server": "Airflow's API",
    "supervisor.supervisord": "process manager",
    "party.py": "party of the engine",
    "party.x": "party of the engine",
    "postgres": "PostgreSQL",
    "caddy": "Caddy",
    "minio": "MinIO",
    "devchain": "development chain",
    "anvil": "development chain",
}
"""Part of a command line to what it is; the first that fits."""


@dataclass(frozen=True)
class SiteRow:
    """One site, over all times at which it was looked at."""

    site: str
    programs: Mapping[str, int]
    """Program to the most processes of it at once."""
    listening: Sequence[str]
    """Beyond loopback."""
    connected: Sequence[str]
    """The other ends, by machine."""
    memory: int
    """The most bytes at once of all its processes; what several map counts once."""

    @classmethod
    def of(cls, site: str, seen: Sequence[Seen], names: Mapping[str, str], ends: Set[tuple[str, int]]) -> SiteRow:
        """What was seen at a site, and the other ends of connections beside; `names` says whose an address is."""
        programs: dict[str, int] = {}
        for moment in seen:
            now: dict[str, int] = {}
            # One that has just ended has no command any more.
            for command in filter(None, moment.processes.values()):
                now[_program(command)] = now.get(_program(command), 0) + 1
            programs = {name: max(programs.get(name, 0), now.get(name, 0)) for name in {*programs, *now}}
        listening = {socket for moment in seen for socket in moment.listening if not socket[0].startswith("127.")}
        connected = {*ends, *(socket for moment in seen for socket in moment.connected)}
        ports = {f"{names.get(host, host)}:{port}" for host, port in listening}
        return cls(
            site,
            dict(sorted(programs.items())),
            sorted(ports),
            sorted({names.get(host, host) for host, _ in connected}),
            max((moment.memory for moment in seen), default=0),
        )


@dataclass(frozen=True)
class FaultRow:
    """One thing that went wrong between machines."""

    fault: str
    ended: str
    """How the round did in which it happened, or what was refused."""
    told: str
    """Who was told of it, and in which words."""
    seconds: float | None = None
    """Of that round, from the command to its end."""


def begin() -> None:
    """Forget what an earlier run wrote."""
    shutil.rmtree(FOLDER, ignore_errors=True)


def write(name: str, content: object) -> None:
    """One file of what was seen."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")


def write_sites(rows: Sequence[SiteRow]) -> None:
    """What ran where."""
    write("sites", [{**vars(row), "memory": round(row.memory / _MIB)} for row in rows])


def _program(command: Sequence[str]) -> str:
    text = " ".join(command)
    return next((name for part, name in _PROGRAMS.items() if part in text), Path(command[0]).name)
