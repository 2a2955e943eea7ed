"""The command line's border.

Numbers, files and interrupts that nobody meant end in a sentence, never in a traceback.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from pipeline import cli, entry
from pipeline.cli import commands
from pipeline.cli.files import read_file, write_file
from pipeline.errors import Misconfigured
from pipeline.site.settings import PROJECT
from tests.support.interrupts import heed_interrupts


def numbers(
    group: typer.core.TyperGroup, *path: str
) -> list[tuple[str, typer.core.TyperArgument | typer.core.TyperOption]]:
    """Every number that a command takes, with the command."""
    found = []
    for name, command in group.commands.items():
        if isinstance(command, typer.core.TyperGroup):
            found += numbers(command, *path, name)
        else:
            whole = " ".join([*path, name])
            found += [(whole, given) for given in command.params if given.type_descriptor.annotation in (int, float)]
    return found


def test_every_number_of_the_command_line_is_bounded() -> None:
    found = numbers(typer.main.get_command(commands))
    assert {"show", "audit", "proof", "run", "commit-directly"} <= {command for command, _ in found}
    for command, given in found:
        assert given.min is not None, f"{command}: {given.name}"
        assert given.max is not None, f"{command}: {given.name}"


@pytest.mark.parametrize("number", [str(2**64), str(10**30), "9" * 5000, "-1", "0", "1e3"])
@pytest.mark.parametrize("command", [["show"], ["audit"], ["proof", "-o", "x.zip"]])
def test_a_number_that_no_round_has_is_refused_before_anybody_is_asked(command: list[str], number: str) -> None:
    said = CliRunner().invoke(commands, [command[0], "--", number] if len(command) == 1 else [*command, "--", number])
    assert said.exit_code == 2
    assert isinstance(said.exception, SystemExit)
    assert "ROUND" in said.output


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        Misconfigured, match=r"/proc/x.zip: cannot be written: No such file or directory; name a file in a folder"
    ):
        write_file(Path("/proc/x.zip"), b"")
    (tmp_path / "a file").write_bytes(b"")
    with pytest.raises(Misconfigured, match="cannot be written"):
        write_file(tmp_path / "a file" / "beneath", b"")


def test_a_file_without_an_end_is_read_to_its_limit(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="/dev/zero: got more than 1000 bytes"):
        read_file(Path("/dev/zero"), 1000)
    with pytest.raises(Misconfigured, match="cannot be read: Is a directory"):
        read_file(tmp_path, 1000)


def test_an_error_of_the_system_is_a_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device", "/a/disk")

    monkeypatch.setattr(cli, "commands", full)
    with pytest.raises(SystemExit, match="2"):
        cli.app()
    assert capsys.readouterr().err == "wardround: [Errno 28] No space left on device: '/a/disk'\n"


@pytest.mark.parametrize("loaded", ["typer", "numpy", "web3"])
def test_an_interrupt_while_the_command_loads_ends_it_without_a_word(loaded: str) -> None:
    command = [sys.executable, "-X", "importtime", "-c", "from pipeline.entry import main; main()", "rounds"]
    with subprocess.Popen(
        command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts
    ) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if line.endswith(f" {loaded}\n"):
                process.send_signal(signal.SIGINT)
                break
        said += process.stderr.readlines()
        # A shell shows both as 130; the second where the signal came when the command had loaded.
        assert process.wait() in (-signal.SIGINT, 128 + signal.SIGINT)
    assert [line for line in said if not line.startswith("import time:")] == []


def test_an_interrupt_between_loading_and_the_command_ends_it_without_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "commands", interrupted)
    with pytest.raises(SystemExit, match="130"):
        entry.main()
    assert capsys.readouterr() == ("", "")
