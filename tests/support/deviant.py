"""A party that deviates or fails: MP-SPDZ's own program, unchanged, under a shim before its TLS writes (deviant.c)."""

from __future__ import annotations

import shutil
import subprocess
import time
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

from pipeline.mpc.engines.mp_spdz.engine import NODES, MpSpdz
from pipeline.site.settings import Settings

_SOURCE = Path(__file__).with_name("deviant.c")
_PATIENCE_SECONDS = 60


class Deviant(MpSpdz):
    """One party's engine: acts ("alter", "stop", "kill", "wait") at its `message`-th message.

    `before`: shell code run in its folder.
    """

    def __init__(self, settings: Settings, folder: Path, act: str = "", message: int = 0, before: str = "") -> None:
        super().__init__(settings)
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        words = {
            "LD_PRELOAD": shim(),
            "DEVIANT_ACT": act,
            "DEVIANT_MESSAGE": message,
            "DEVIANT_REPORT": folder / "report",
        }
        environment = " ".join(f"{name}='{value}'" for name, value in words.items())
        # Before any party starts: a file that is open for writing while another thread forks is "busy" when it is to be
        # executed.
        for protocol in NODES:
            script(self._binary(protocol), f"{before}\nexec env {environment} '{super()._binary(protocol)}' \"$@\"")

    @property
    def did(self) -> bool:
        """Whether it came to the act."""
        return "did" in self._report()

    @property
    def messages(self) -> int:
        """How many messages a party that ended by itself has sent."""
        return self._report()["sent"]

    def await_act(self) -> int:
        """Wait until it has done so; its process."""
        end = time.monotonic() + _PATIENCE_SECONDS
        while not self.did:
            assert time.monotonic() < end, "the party never came to its act"
            time.sleep(0.02)
        return self._report()["did"]

    def go_on(self) -> None:
        """End its wait."""
        (self._folder / "report.go").touch()

    def _report(self) -> dict[str, int]:
        file = self._folder / "report"
        return (
            {what: int(number) for what, number in map(str.split, file.read_text().splitlines())}
            if file.exists()
            else {}
        )

    def _binary(self, protocol: str) -> Path:
        return self._folder / f"deviant-{protocol}-party.x"


def script(path: Path, code: str) -> Path:
    """An executable shell script."""
    path.write_text(f"#!/bin/sh\n{code}\n")
    path.chmod(0o700)
    return path


@cache
def shim() -> Path:
    """The library to preload, built once per process; skips the test, visibly, where there is no compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (cc) to build the shim of a deviating party; install gcc")
    library = Path(mkdtemp(prefix="wardround-deviant-")) / "deviant.so"
    command = [
        compiler,
        "-shared",
        "-fPIC",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-o",
        str(library),
        str(_SOURCE),
        "-ldl",
        "-pthread",
    ]
    subprocess.run(command, check=True)
    return library
