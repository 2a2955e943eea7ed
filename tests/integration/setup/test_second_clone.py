"""Set-up of a second clone, from what the first one left in this user's caches.

No network, and a place that is not simple.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.site.settings import PROJECT
from tests.support.clones import roomy_folder

_NO_NETWORK = {"UV_OFFLINE": "1", "npm_config_offline": "true", "GOPROXY": "off"}


@pytest.fixture(scope="module")
def clone() -> Iterator[Path]:
    """Set up twice at once in a path with spaces and umlauts, by somebody whose files nobody else may read."""
    with roomy_folder() as place:
        folder = place / "Ärzte und Häuser" / "wardround"
        subprocess.run(["git", "clone", "--quiet", PROJECT, folder], check=True)
        command = ["bash", "-c", "umask 077; exec make setup"]
        both = [
            subprocess.Popen(
                command,
                cwd=folder,
                env=os.environ | _NO_NETWORK,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for _ in range(2)
        ]
        said = [process.communicate()[0] for process in both]
        assert [process.returncode for process in both] == [0, 0], said
        yield folder


def test_the_command_of_a_second_clone_is_its_own(clone: Path) -> None:
    code = "import pipeline; print(*pipeline.__path__)"
    done = subprocess.run(
        [clone / ".venv" / "bin" / "python", "-c", code], cwd="/", capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{clone / 'pipeline'}\n"
    subprocess.run([clone / ".venv" / "bin" / "wardround", "--help"], cwd="/", capture_output=True, check=True)


def test_what_runs_has_no_tool_of_developers(clone: Path) -> None:
    scripts = {path.name for path in (clone / ".venv" / "bin").iterdir()}
    assert {"wardround", "airflow", "dvc"} <= scripts
    assert not scripts & {"ruff", "pytest", "mypy", "lint-imports", "playwright", "slither"}
    assert not (clone / ".venv-slither").exists()
    foundry = {path.name.partition("-")[0] for path in (clone / "node_modules" / "@foundry-rs").iterdir()}
    assert foundry == {"anvil"}


def test_nothing_that_git_would_commit_is_left(clone: Path) -> None:
    done = subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True)
    assert done.stdout == ""
