"""A command that stays with its services, with a real process manager that runs something simple."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pipeline.errors import Refused
from pipeline.host.files import locked
from pipeline.services.supervisor import Program, Supervisor
from pipeline.setup.foreground import in_order
from pipeline.site.settings import HOME, PROJECT, Settings

STAYS = """
from pipeline.services.supervisor import Program, Supervisor
from pipeline.setup.foreground import in_order, stay
from pipeline.site.settings import Settings
settings = Settings.load()
with in_order(settings):
    manager = Supervisor(settings.home)
    manager.start([Program("sleeps", ["sleep", "600"], settings.home)])
    manager.launch("sleeps")
    print("stays", flush=True)
    stay(settings)
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A short path: that of a Unix socket must not exceed some 100 bytes."""
    with tempfile.TemporaryDirectory(prefix="wardround-") as folder:
        yield Path(folder)
        Supervisor(Path(folder)).stop()


def stays(home: Path) -> subprocess.Popen[str]:
    command = subprocess.Popen(
        [sys.executable, "-c", STAYS],
        cwd=PROJECT,
        env={**os.environ, HOME: str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert command.stdout is not None
    assert command.stdout.readline() == "stays\n"
    return command


def test_it_stops_the_services_when_it_is_told_to_end(home: Path) -> None:
    command = stays(home)
    manager = Supervisor(home)
    sleeps = psutil.Process(manager.pids()["sleeps"])
    command.terminate()
    assert command.wait(60) == 0, command.stderr
    assert not sleeps.is_running()
    assert not manager.running()


def test_it_leaves_what_another_up_started(home: Path) -> None:
    manager = Supervisor(home)
    manager.start([Program("sleeps", ["sleep", "600"], home)])
    manager.launch("sleeps")
    settings = replace(Settings.load(), home=home)
    with pytest.raises(Refused, match="got services that another `wardround up` started"), in_order(settings):
        pytest.fail("it begins beside them")
    assert "sleeps" in manager.pids()


def test_it_ends_with_an_error_when_the_process_manager_does(home: Path) -> None:
    command = stays(home)
    psutil.Process(int((home / "supervisor" / "supervisord.pid").read_text())).kill()
    assert command.wait(60) == 1
    assert command.stderr is not None
    assert "the process manager has ended" in command.stderr.read()


def test_it_bears_an_up_that_starts_the_process_manager_anew(home: Path) -> None:
    command = stays(home)
    manager = Supervisor(home)
    with locked(replace(Settings.load(), home=home).up_lock):  # as every `up` does
        assert manager.start([Program("sleeps", ["sleep", "601"], home)])
    time.sleep(6)  # one look
    assert command.poll() is None
    command.terminate()
    assert command.wait(60) == 0
    assert not manager.running()
