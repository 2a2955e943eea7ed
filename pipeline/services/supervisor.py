"""The process manager: supervisord with a configuration of its own, reached over a socket in a private folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

import psutil
from supervisor.xmlrpc import SupervisorTransport

from pipeline.errors import Misconfigured, Unavailable
from pipeline.host.files import write_atomic
from pipeline.site.settings import inherited

MARK = "WARDROUND_SERVICES"
"""Environment variable with the installation's path, by which its processes are known even when their manager is gone.
"""

_LONGEST_SOCKET = 90
"""Linux takes 107 bytes for a socket's path, and supervisord appends its process id."""


@dataclass(frozen=True)
class Program:
    """One supervised service: argument list, environment beside the inherited one, working folder."""

    name: str
    command: Sequence[str]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_seconds: int = 10
    stop_signal: str = "TERM"


class Supervisor:
    """supervisord of one installation; every service is restarted when it dies."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._folder = home / "supervisor"
        self._socket = self._folder / "control.sock"
        if len(os.fsencode(self._socket)) > _LONGEST_SOCKET:
            raise Misconfigured(
                f"{self._socket}: got a path too long for a socket, want at most {_LONGEST_SOCKET} bytes; set"
                " WARDROUND_HOME"
            )

    def start(self, programs: Iterable[Program]) -> bool:
        """Write the configuration and start supervisord, with every service stopped.

        One that runs with this very configuration is kept. Returns whether one with another configuration was ended;
        see `end_stray`.
        """
        wanted = self.configuration(programs).encode()
        written = self._folder / "supervisord.conf"
        outdated = self.running()
        if outdated:
            if written.exists() and written.read_bytes() == wanted:
                return False
            self.stop()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        (self._home / "logs").mkdir(mode=0o700, exist_ok=True)
        self._socket.unlink(missing_ok=True)
        write_atomic(written, wanted, mode=0o600)
        daemon = subprocess.run(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(written)],
            env=inherited(without=["PYTHONDONTWRITEBYTECODE"]) | {MARK: str(self._home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if daemon.returncode != 0:
            raise Misconfigured(
                f"the process manager did not start (exit {daemon.returncode}):"
                f" {(daemon.stdout + daemon.stderr).strip()}"
            )
        deadline = time.monotonic() + 10
        while not self.running():
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"the process manager does not answer; {self._home / 'logs' / 'supervisord.log'} says why"
                )
            time.sleep(0.05)
        return outdated

    def configuration(self, programs: Iterable[Program]) -> str:
        """The text of supervisord.conf; it holds no secret."""
        sections = [
            _section("unix_http_server", {"file": self._socket, "chmod": "0700"}),
            _section(
                "supervisord",
                {
                    "logfile": self._home / "logs" / "supervisord.log",
                    "logfile_maxbytes": "10MB",
                    "pidfile": self._folder / "supervisord.pid",
                    "directory": self._home,
                    "umask": "077",
                    "silent": "true",
                },
            ),
            _section(
                "rpcinterface:supervisor",
                {"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
            ),
        ]
        for program in programs:
            settings = {
                "command": " ".join(_quoted(part) for part in program.command),
                "directory": program.folder,
                "environment": ",".join(f"{key}={_quoted(value)}" for key, value in program.environment.items()),
                "autostart": "false",
                "autorestart": "true",
                "startsecs": "1",
                "startretries": "10",
                "stopsignal": program.stop_signal,
                "stopwaitsecs": program.stop_seconds,
                "stopasgroup": "true",
                "killasgroup": "true",
                "redirect_stderr": "true",
                "stdout_logfile": self._home / "logs" / f"{program.name}.log",
                "stdout_logfile_maxbytes": "10MB",
                "stdout_logfile_backups": "2",
            }
            sections.append(_section(f"program:{program.name}", settings))
        return "\n".join(sections)

    def running(self) -> bool:
        """Whether supervisord answers."""
        try:
            return bool(self._call("getState")["statecode"] == 1)
        except Unavailable:
            return False

    def launch(self, name: str) -> None:
        """Start a service without waiting for it; a started one is kept."""
        if self.states().get(name) not in {"RUNNING", "STARTING"}:
            self._call("startProcess", name, False)

    def states(self) -> Mapping[str, str]:
        """Service to supervisord's word for its state; empty when supervisord is down."""
        if not self._socket.exists():
            return {}
        try:
            return {item["name"]: item["statename"] for item in self._call("getAllProcessInfo")}
        except Unavailable:
            return {}

    def pids(self) -> Mapping[str, int]:
        """Service to the id of its main process, for those that run."""
        return {item["name"]: item["pid"] for item in self._call("getAllProcessInfo") if item["pid"]}

    def stop(self) -> None:
        """Stop every service and supervisord, and end what they left behind."""
        try:
            self._call("shutdown")
        except Unavailable:
            pass
        else:
            self._wait_for_end(seconds=30)
        self.end_stray()

    def _wait_for_end(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and (self._socket.exists() or self.processes()):
            time.sleep(0.1)

    def processes(self) -> list[psutil.Process]:
        """Every process of this installation's services, children and orphans included."""
        ours = []
        for process in psutil.process_iter():
            try:
                if (
                    process.pid != os.getpid()
                    and process.environ().get(MARK) == str(self._home)
                    and process.status() != psutil.STATUS_ZOMBIE
                ):
                    ours.append(process)
            except (psutil.Error, OSError):
                continue
        return ours

    def end_stray(self) -> None:
        """End processes of this installation whose manager is gone."""
        for kind, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
            stray = self.processes()
            for process in stray:
                try:
                    process.send_signal(kind)
                except psutil.NoSuchProcess:
                    continue
            psutil.wait_procs(stray, timeout=seconds)

    def _call(self, method: str, *arguments: object) -> Any:
        # A new proxy per call: supervisord closes idle connections.
        proxy = xmlrpc.client.ServerProxy(
            "http://127.0.0.1", transport=SupervisorTransport(None, None, f"unix://{self._socket}")
        )
        try:
            return getattr(proxy.supervisor, method)(*arguments)
        except (OSError, HTTPException, xmlrpc.client.Error) as error:
            raise Unavailable(
                f"the process manager did not do {method}{arguments}: {error}; `wardround up` starts it"
            ) from error


def _section(name: str, settings: Mapping[str, object]) -> str:
    # supervisord expands %(...)s, so a percent sign of ours is doubled.
    lines = [f"{key} = {str(value).replace('%', '%%')}" for key, value in settings.items()]
    return "\n".join([f"[{name}]", *lines, ""])


def _quoted(text: object) -> str:
    escaped = str(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
