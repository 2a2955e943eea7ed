"""A disk that is full, on a small one of its own: what is refused, what is told, and that nothing is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.site.settings import PROJECT

pytestmark = pytest.mark.namespace

_MOUNTS = 'mount -t tmpfs -o size="$1" none "$2"; shift 2; exec "$@"'

FILLS = """
import os, sys
from contextlib import suppress
from pathlib import Path

disk = Path(sys.argv[1])


def fill() -> None:
    with (disk / "filler").open("ab", buffering=0) as file:
        for size in (65536, 1024, 1):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))


def make_room() -> None:
    (disk / "filler").unlink()


def refused(action) -> str:
    from pipeline.errors import Unavailable
    try:
        action()
    except Unavailable as error:
        return str(error)
    raise AssertionError("it was done")
"""


def plays(script: str, folder: Path, size: str) -> str:
    """What a script prints that has a disk of that size at `disk`."""
    command = [sys.executable, "-c", FILLS + script, str(folder)]
    mounted = ["unshare", "--map-root-user", "--mount", "--net", "sh", "-euc", _MOUNTS, "sh", size, str(folder)]
    done = subprocess.run([*mounted, *command], cwd=PROJECT, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_file_keeps_what_it_held_and_the_error_says_what_to_do(tmp_path: Path) -> None:
    said = plays(
        """
from pipeline.host.files import write_secret
kept = disk / "kept"
write_secret(kept, b"before")
fill()
print(refused(lambda: write_secret(kept, bytes(8192))))
assert kept.read_bytes() == b"before"
assert sorted(path.name for path in disk.iterdir()) == ["filler", "kept"]
make_room()
write_secret(kept, b"after")
assert kept.read_bytes() == b"after"
""",
        tmp_path,
        "256k",
    )
    assert "kept: the disk of this machine is full" in said
    assert "make room, then try again" in said


def test_the_watch_tells_of_it_though_it_cannot_write_that_down(tmp_path: Path) -> None:
    said = plays(
        """
from pipeline.host import namespace
from pipeline.host.files import write_secret
from pipeline.watch import notices
from pipeline.watch.watch import Watch
from tests.support.receiver import Receiver
from tests.support.sites import NORTH, Apart
namespace.raise_loopback()
apart = Apart(disk)
apart.init(NORTH)
settings = apart.settings(NORTH.queue)
receiver = Receiver()
write_secret(notices.addresses_file(settings), receiver.address.reveal())
watch = Watch(settings)
watch.look(1.0)
assert receiver.titles() == []
fill()
for minute in (1, 2):
    watch.look(60.0 * minute)
assert receiver.titles() == ["disk low"]
make_room()
watch.look(180.0)
fill()
watch.look(240.0)
print(receiver.titles())
""",
        tmp_path,
        "64m",
    )
    assert said == "['disk low']\n"


@pytest.mark.anvil
def test_the_chain_acknowledges_nothing_that_it_could_not_keep_and_goes_on(tmp_path: Path) -> None:
    said = plays(
        """
import tempfile
from pipeline.chain.contract import Call
from pipeline.chain.outbox import Outbox
from pipeline.host import namespace, ports
from pipeline.host.secret import Secret
from pipeline.site.identity import SigningKey
from tests.support.chains import CHAIN_ID, Devchain
namespace.raise_loopback()
chain = Devchain(disk / "chain", ports.choose())
chain.start()
try:
    key = SigningKey(Secret.generate())
    with tempfile.TemporaryDirectory() as elsewhere:
        outbox = Outbox(Path(elsewhere), key, chain.url, CHAIN_ID)
        call = Call("something", key.address, b"\\x01")
        assert outbox.send(call, "first").block == 1
        fill()
        for _ in range(20):
            said = refused(lambda: outbox.send(call, "second", timeout=3))
            if "not mined yet" not in said:
                break  # the chain has tried to save by now
        print(said)
        make_room()
        assert outbox.send(call, "second").block > 1
    own = Outbox(disk / "outbox", key, chain.url, CHAIN_ID)
    fill()
    print(refused(lambda: own.send(call, "third", timeout=3)))
    make_room()
    assert own.send(call, "third").block > 2
finally:
    chain.kill_supervisor()
""",
        tmp_path,
        "64m",
    )
    first, second = said.splitlines()
    assert "the state could not be saved" in first
    assert "the disk of this machine is full" in second
