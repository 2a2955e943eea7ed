from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import Misconfigured
from pipeline.settings import PROJECT, Settings
from pipeline.setup.tools import toolchains

_COMMANDS = ("bash", "make", "uname")


def _newer_python(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Set-up as a Python 3.13 would start it, with uv and what lies in `path` and nothing else on the PATH, without a network."""
    (path / "uv").symlink_to(toolchains.uv(Settings.load()))
    monkeypatch.setattr(platform, "python_version", lambda: "3.13.0")
    for name, value in {"PATH": path, "UV_PYTHON_INSTALL_DIR": path / "none", "UV_OFFLINE": "1"}.items():
        monkeypatch.setenv(name, str(value))


def test_under_a_newer_python_environments_are_made_of_the_3_11_that_uv_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "python3.11").symlink_to(Path(sys.executable).resolve())
    _newer_python(monkeypatch, tmp_path)
    made = toolchains.environment(Settings.load(), tmp_path / "environment")
    said = subprocess.run([made, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True, check=True)
    assert said.stdout == "3 11\n"


def test_where_no_python_3_11_can_be_had_set_up_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _newer_python(monkeypatch, tmp_path)
    with pytest.raises(Misconfigured, match=r"(?s)could not fetch Python 3\.11.*install it.*or name one: make setup PYTHON="):
        toolchains.python(Settings.load())


def _machine(folder: Path, **versions: str) -> dict[str, str]:
    """The environment of a machine that has these commands, each a Python of a version, and whose set-up says who started it."""
    folder.mkdir()
    for command in _COMMANDS:
        (folder / command).symlink_to(str(shutil.which(command)))
    for command, version in versions.items():
        name = {"python3": "python3", "python3_11": "python3.11", "python3_13": "python3.13"}[command]
        script = folder / name
        script.write_text(
            f'#!{shutil.which("bash")}\nif [ "$1" = -m ]; then echo "$@ by {version}"; exit; fi\n'
            f'exec {sys.executable} -c "import sys; sys.version_info = ({version.replace(".", ", ")}, 0); $2"\n'
        )
        script.chmod(0o755)
    return {"PATH": str(folder), "HOME": str(folder)}


def _make_setup(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", "setup"], cwd=PROJECT, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("versions", "chosen"),
    [
        ({"python3": "3.11"}, "3.11"),
        ({"python3": "3.12"}, "3.12"),
        ({"python3": "3.13", "python3_11": "3.11"}, "3.11"),
        ({"python3": "3.9", "python3_13": "3.13"}, "3.13"),
    ],
)
def test_set_up_starts_under_python_3_11_or_else_a_newer_one(tmp_path: Path, versions: dict[str, str], chosen: str) -> None:
    done = _make_setup(_machine(tmp_path / "bin", **versions))
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"-m pipeline.setup.tools runtime by {chosen}\n")


def test_a_named_python_goes_before_those_of_the_path(tmp_path: Path) -> None:
    env = _machine(tmp_path / "bin", python3="3.11")
    _machine(tmp_path / "my own", python3="3.11")
    done = _make_setup(env | {"PYTHON": str(tmp_path / "my own" / "python3")})
    assert f"set-up with {tmp_path}/my own/python3\n" in done.stdout


def test_without_any_fitting_python_set_up_says_what_to_install(tmp_path: Path) -> None:
    done = _make_setup(_machine(tmp_path / "bin", python3="3.10"))
    assert done.returncode != 0
    assert "found no Python since 3.11; install one" in done.stderr
    assert os.linesep not in done.stdout
