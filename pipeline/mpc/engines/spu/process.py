"""One party's process in SPU's environment.

Its input through a pipe, its results through another, its end at the deadline.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.errors import EngineFailed
from pipeline.site.settings import PROJECT

_LOG_TAIL = 4096


class PartyProcess:
    """A context: leaving it ends the process and everything that it started, whatever happened."""

    def __init__(self, python: Path, program: Path, folder: Path, log: Path, seconds: float) -> None:
        self._log = log
        self._seconds = seconds
        self._timed_out = False
        log.parent.mkdir(parents=True, exist_ok=True)
        reading, writing = os.pipe()
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output:
            self._process = subprocess.Popen(
                [python, program, str(writing)],
                cwd=folder,
                env={"PATH": os.defpath, "PYTHONPATH": str(PROJECT), "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(writing,),
                start_new_session=True,
            )
        os.close(writing)
        self._results = os.fdopen(reading)
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    def __enter__(self) -> PartyProcess:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self.kill()
        self._process.wait()
        self._results.close()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()

    @property
    def pid(self) -> int:
        """The process's number, also that of its group."""
        return self._process.pid

    @property
    def killed(self) -> bool:
        """Whether somebody ended it from outside."""
        return self._process.poll() in (-signal.SIGKILL, -signal.SIGTERM)

    def kill(self) -> None:
        """End the process and its children at once."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def send(self, content: Iterable[bytes]) -> None:
        """Write to its standard input; raises EngineFailed when it has ended."""
        assert self._process.stdin is not None  # noqa: S101
        try:
            for part in content:
                self._process.stdin.write(part)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise EngineFailed(self._cause()) from None

    def receive(self) -> Mapping[str, Any]:
        """Its next result; raises EngineFailed when it ends without one."""
        line = self._results.readline()
        if not line.endswith("\n"):
            raise EngineFailed(self._cause())
        result: Mapping[str, Any] = json.loads(line)
        return result

    def _expire(self) -> None:
        self._timed_out = True
        self.kill()

    def _cause(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        if self._timed_out:
            return f"no result within {self._seconds:.0f} s: a party is stopped, slow or cut off; see {self._log}"
        code = self._process.poll()
        if self.killed:
            return f"the party process was killed (signal {-(code or 0)}), by hand or for lack of memory"
        return f"the party process ended with status {code}: {self._last_line()}; see {self._log}"

    def _last_line(self) -> str:
        with self._log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _LOG_TAIL))
            lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
        errors = [line for line in lines if "rror" in line]
        return (errors or lines or ["no message"])[-1][:300]


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until `condition()` holds, at most `seconds`."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
