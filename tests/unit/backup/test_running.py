"""A backup of a site whose services go on writing: all of it is of one moment, and they go on afterwards."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from pipeline.backup import backup as backups
from pipeline.backup import stillness
from pipeline.backup.backup import back_up, restore
from pipeline.backup.stillness import still
from pipeline.errors import Refused
from pipeline.host.secret import Secret
from pipeline.joining.join import examine, join
from pipeline.services import services
from pipeline.services.supervisor import Program, Supervisor
from pipeline.site.settings import Settings
from tests.support.sites import WREN, Apart

PASSPHRASE = Secret(b"correct horse battery")

pytestmark = pytest.mark.usefixtures("cheap_passphrases")

# The first file is never behind the second, nor more than one ahead; a folder and a file of it come and go; a child
# that is begun anew all the time writes beside it.
WRITES = """
import os, shutil, subprocess, sys
from pathlib import Path
place = Path(sys.argv[1])
place.mkdir(exist_ok=True)
number = 0
while True:
    number += 1
    (place / "log").open("a").write(f"{number}\\n")
    for name in ("first", "second"):
        (place / f".{name}").write_bytes(b"%d\\n" % number * 5000)
        os.replace(place / f".{name}", place / name)
    (place / "made" / str(number)).mkdir(parents=True)
    (place / "made" / str(number) / "journal").write_text("roll back")
    if number % 20 == 0:
        subprocess.run(["sh", "-c", "echo x >> $0", str(place / "children")])
    shutil.rmtree(place / "made")
"""


@pytest.fixture
def writing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A hospital's site, with a service that writes without a pause."""
    apart = Apart.made(tmp_path_factory.mktemp("a") / "1")
    settings = apart.settings(WREN.queue)
    invitation = apart.invite_all()[WREN.queue]
    join(examine(invitation, WREN.queue, settings), settings)
    manager = services.supervisor(settings)
    place = settings.hospital("wren") / "data"
    script = tmp_path_factory.mktemp("script") / "writes.py"
    script.write_text(WRITES)
    manager.start([Program("writes", [sys.executable, str(script), str(place)], settings.home)])
    manager.launch("writes")
    until(lambda: (place / "second").exists())
    yield settings
    manager.stop()


def until(happens: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def place(settings: Settings) -> Path:
    return settings.hospital("wren") / "data"


def goes_on(settings: Settings) -> bool:
    before = (place(settings) / "log").stat().st_size
    until(lambda: (place(settings) / "log").stat().st_size > before)
    return psutil.STATUS_STOPPED not in statuses(services.supervisor(settings))


def statuses(manager: Supervisor) -> set[str]:
    """Of its processes; a child that has ended since it was listed has none."""
    found = set()
    for process in manager.processes():
        with suppress(psutil.NoSuchProcess):
            found.add(process.status())
    return found


def test_all_of_it_is_of_one_moment_and_the_services_go_on(
    writing: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    take = backups.Copy.take

    def slowly(self: backups.Copy, entries: list[tuple[Path, str]]) -> None:
        take(self, entries)
        seen.append((place(writing) / "log").stat().st_size)
        time.sleep(0.3)

    monkeypatch.setattr(backups.Copy, "take", slowly)
    made = back_up(tmp_path / "file", PASSPHRASE, writing)
    assert goes_on(writing)
    still_at = seen[-1]
    assert seen[0] < still_at, "it was written to while it was copied"
    home = writing.home.parent.parent / "2" / "wren"
    after = Settings(home, writing.data, writing.cache, writing.mp_spdz, home / "studies")
    assert restore(tmp_path / "file", PASSPHRASE, after).files == made.files
    came = place(after)
    numbers = (came / "log").read_text().split()
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]
    assert (came / "log").stat().st_size == still_at, "the moment is the one at which it stood still"
    first, second = ((came / name).read_text().split() for name in ("first", "second"))
    assert len(set(first)) == len(set(second)) == 1, "a file is torn"
    assert int(first[0]) - int(second[0]) in (0, 1)
    assert int(numbers[-1]) - int(first[0]) in (0, 1)
    # Of all that came and went only what was there at that moment.
    assert {path.name for path in (came / "made").glob("*")} <= {numbers[-1]}


def test_services_out_of_sight_are_not_taken_for_still_ones(writing: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = Supervisor(writing.home)
    monkeypatch.setattr(manager, "processes", list)
    with pytest.raises(Refused, match="got services that run out of this command's sight"), still(manager):
        pytest.fail("it goes on")


def test_a_process_that_may_not_be_stopped_is_named_and_all_others_go_on(
    writing: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = Supervisor(writing.home)
    suspend = psutil.Process.suspend
    asked: list[int] = []

    def of_another_user(process: psutil.Process) -> None:
        asked.append(process.pid)
        if len(asked) == 2:
            raise psutil.AccessDenied(process.pid)
        suspend(process)

    monkeypatch.setattr(psutil.Process, "suspend", of_another_user)
    with pytest.raises(Refused, match="got one of another user"), still(manager):
        pytest.fail("it runs")
    assert goes_on(writing)


def test_one_that_may_not_be_woken_keeps_no_other_from_it() -> None:
    wakes = f"""
import os
kill = os.kill
def of_another_user(pid, number):
    if pid == 1:
        raise PermissionError(1, "not permitted")
    kill(pid, number)
os.kill = of_another_user
{stillness._WAKES}"""
    sleeps = psutil.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        sleeps.suspend()
        until(lambda: sleeps.status() == psutil.STATUS_STOPPED)
        subprocess.run([sys.executable, "-c", wakes], input=f"1\n{sleeps.pid}\n", text=True, check=True)
        until(lambda: sleeps.status() != psutil.STATUS_STOPPED)
    finally:
        sleeps.kill()
        sleeps.wait()


def test_a_file_that_took_a_folder_s_place_meanwhile_comes_back(
    writing: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = place(writing) / "inbox"
    (inbox / "deep").mkdir(parents=True)
    (inbox / "deep" / "record").write_text("first")
    take = backups.Copy.take

    def replaced(self: backups.Copy, entries: list[tuple[Path, str]]) -> None:
        take(self, entries)
        if inbox.is_dir():
            shutil.rmtree(inbox)
            inbox.write_text("second")

    monkeypatch.setattr(backups.Copy, "take", replaced)
    back_up(tmp_path / "file", PASSPHRASE, writing)
    home = writing.home.parent.parent / "2" / "wren"
    after = Settings(home, writing.data, writing.cache, writing.mp_spdz, home / "studies")
    restore(tmp_path / "file", PASSPHRASE, after)
    assert (place(after) / "inbox").read_text() == "second"


def test_whoever_makes_it_may_be_killed_and_the_services_go_on(writing: Settings, tmp_path: Path) -> None:
    def killed() -> None:
        with still(Supervisor(writing.home)):
            os.kill(os.getpid(), signal.SIGKILL)

    process = multiprocessing.get_context("fork").Process(target=killed)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert goes_on(writing)


def test_nothing_runs_meanwhile(writing: Settings) -> None:
    manager = Supervisor(writing.home)
    with still(manager):
        assert {one.status() for one in manager.processes()} == {psutil.STATUS_STOPPED}
        assert len(manager.processes()) >= 2
        before = (place(writing) / "log").stat().st_size
        time.sleep(0.3)
        assert (place(writing) / "log").stat().st_size == before
    assert goes_on(writing)
