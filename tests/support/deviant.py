"""A party that deviates: MP-SPDZ's own program, unchanged, with a shim before its TLS writes (deviant.c)."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

from pipeline.mpc.engines.mp_spdz import MpSpdz
from pipeline.settings import Settings

_SOURCE = Path(__file__).with_name("deviant.c")


@dataclass(frozen=True)
class Act:
    """What the party does before or with its `message`-th message."""

    what: str
    message: int


class Deviant(MpSpdz):
    """This party runs under the shim; `folder` is its own, nobody else's."""

    def __init__(self, settings: Settings, folder: Path, act: Act) -> None:
        super().__init__(settings)
        self._folder, self._act = folder, act

    @property
    def did(self) -> bool:
        """Whether it came to the act."""
        return "did" in self._report()

    @property
    def messages(self) -> int:
        """How many messages a party that ended by itself has sent."""
        return self._report()["sent"]

    def _report(self) -> dict[str, int]:
        file = self._folder / "report"
        return {what: int(number) for what, number in map(str.split, file.read_text().splitlines())} if file.exists() else {}

    def _binary(self, protocol: str) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        script = self._folder / "deviant-party.x"
        words = {
            "LD_PRELOAD": _shim(),
            "DEVIANT_ACT": self._act.what,
            "DEVIANT_MESSAGE": self._act.message,
            "DEVIANT_REPORT": self._folder / "report",
        }
        environment = " ".join(f"{name}='{value}'" for name, value in words.items())
        script.write_text(f"#!/bin/sh\nexec env {environment} '{super()._binary(protocol)}' \"$@\"\n")
        script.chmod(0o700)
        return script


@cache
def _shim() -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (cc) to build the shim of a deviating party; install gcc")
    library = Path(mkdtemp(prefix="wardround-deviant-")) / "deviant.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", str(library), str(_SOURCE), "-ldl", "-pthread"]
    subprocess.run(command, check=True)
    return library
