from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import Misconfigured
from pipeline.settings import PROJECT
from pipeline.setup import tools


def test_the_tools_module_needs_the_standard_library_only() -> None:
    code = "import sys, pipeline.setup.tools; print(*sorted({name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names))"
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"pipeline", "__main__", "sitecustomize"}


def test_a_folder_is_fresh_only_after_its_block_ended_well(tmp_path: Path) -> None:
    def build(content: str, *, fail: bool = False) -> bool:
        with tools._stamped(tmp_path, content) as fresh:
            if fail:
                raise Misconfigured("no network")
        return fresh

    assert not build("one")
    assert build("one")
    assert not build("two")
    with pytest.raises(Misconfigured):
        build("three", fail=True)
    assert not build("two")


def test_a_failed_step_shows_the_end_of_its_output() -> None:
    with pytest.raises(Misconfigured, match=r"could not divide \(exit 1\):\n(.*\n)*ZeroDivisionError"):
        tools._run([sys.executable, "-c", "1/0"], "divide")


def test_a_missing_command_is_named() -> None:
    with pytest.raises(Misconfigured, match="no-such-command"):
        tools._run(["no-such-command"], "do it")
