"""What is made slowly is made aside, and what a killed process left aside goes before the next is made."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.host.files import scratch
from pipeline.site.settings import PROJECT

_MAKES = """
import sys
from pathlib import Path
from pipeline.host.files import scratch

with scratch(Path(sys.argv[1]), "making") as aside:
    (aside / "part").write_bytes(b"half")
    print(aside, flush=True)
    sys.stdin.read()
"""


def folders(place: Path) -> list[Path]:
    return [path for path in place.iterdir() if path.is_dir()]


def maker(place: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process that is making something in `place`, and its folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", _MAKES, str(place)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_a_folder_aside_is_gone_after_its_block_however_that_ends(tmp_path: Path) -> None:
    with scratch(tmp_path, "making") as aside:
        (aside / "part").touch()
    with pytest.raises(KeyboardInterrupt), scratch(tmp_path, "making"):
        raise KeyboardInterrupt
    with scratch(tmp_path, "making") as aside:
        aside.replace(tmp_path / "made")
    assert folders(tmp_path) == [tmp_path / "made"]


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_makes_is_kept(tmp_path: Path) -> None:
    (killed, left) = maker(tmp_path)
    (living, kept) = maker(tmp_path)
    killed.kill()
    killed.wait()
    assert left.exists()
    with scratch(tmp_path, "making") as aside:
        assert sorted(folders(tmp_path)) == sorted([kept, aside])
    living.communicate()
    assert folders(tmp_path) == []


def test_what_is_made_otherwise_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".fetching-now").mkdir()
    with scratch(tmp_path, "making"):
        assert (tmp_path / ".fetching-now").exists()
