"""Compose on this machine's engine: commands, what it says of containers, memory while something runs."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pipeline.site.settings import PROJECT

PROJECT_NAME = "wardround-test"
"""Not that of somebody's own consortium on this machine."""

_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_LOOK_SECONDS = 5.0


def environment() -> Mapping[str, str]:
    """Of every command; a COMPOSE_FILE of this shell's may lay files of this machine's over ours."""
    return {**os.environ, "COMPOSE_PROJECT_NAME": PROJECT_NAME}


def run(
    *command: str, seconds: float = 600, ends_with: int | None = 0, variables: Mapping[str, str] | None = None
) -> str:
    """A command in the checkout, with what it said; `ends_with` is the exit code that it must have."""
    done = subprocess.run(
        command,
        cwd=PROJECT,
        env={**environment(), **(variables or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    said = done.stdout + done.stderr
    assert ends_with in (None, done.returncode), f"{' '.join(command)}: exit {done.returncode}\n{said}"
    return said


def compose(*arguments: str, seconds: float = 600, ends_with: int | None = 0) -> str:
    """`docker compose`."""
    return run("docker", "compose", *arguments, seconds=seconds, ends_with=ends_with)


def command(service: str, *arguments: str, seconds: float = 600, ends_with: int | None = 0) -> str:
    """A command of `wardround` in a container of its own, on the service's folder."""
    return compose("run", "--rm", "-T", service, *arguments, seconds=seconds, ends_with=ends_with)


def python(service: str, code: str, ends_with: int | None = 0) -> str:
    """What a few lines print where a service runs."""
    return compose("exec", "-T", service, "python", "-c", code, ends_with=ends_with)


def containers() -> Mapping[str, Any]:
    """Service to what the engine says of its container."""
    ids = compose("ps", "--quiet").split()
    return {
        one["Config"]["Labels"]["com.docker.compose.service"]: one for one in json.loads(run("docker", "inspect", *ids))
    }


def image_bytes(image: str) -> int:
    """What its layers take, those included that it shares."""
    return int(run("docker", "image", "inspect", "--format", "{{.Size}}", image))


@contextmanager
def memory_watched() -> Iterator[dict[str, int]]:
    """Service to the most bytes at one of the looks that are taken while the block runs."""
    most: dict[str, int] = {}
    ended = threading.Event()
    names = {one["Name"].strip("/"): service for service, one in containers().items()}

    def look() -> None:
        while not ended.wait(_LOOK_SECONDS):
            for line in run("docker", "stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}").splitlines():
                name, used, *_ = line.split()
                if name in names:
                    most[names[name]] = max(most.get(names[name], 0), _bytes(used))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield most
    finally:
        ended.set()
        looking.join()


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of a page, the first one their titles."""
    title, *rest = ("| " + " | ".join(row) + " |" for row in rows)
    return "\n".join([title, "|" + "---|" * len(rows[0]), *rest, ""])


def _bytes(text: str) -> int:
    number, unit = text[: -len(text.lstrip("0123456789."))], text.lstrip("0123456789.")
    return round(float(number) * _UNITS[unit])
