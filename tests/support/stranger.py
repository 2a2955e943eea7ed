"""Somebody who has nothing of ours but a clone.

A home of their own, with the built tools that a first set-up would leave there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from pipeline.site.settings import PROJECT, Settings

_OURS = ("WARDROUND_", "MP_SPDZ_", "AIRFLOW_", "XDG_", "PYTEST_", "PYTHON", "VIRTUAL_ENV", "MAKE", "MFLAGS", "COLUMNS")
"""Beginnings of variables that the stranger does not have."""

_CACHES = {"UV_CACHE_DIR": ".cache/uv", "PIP_CACHE_DIR": ".cache/pip", "npm_config_cache": ".npm"}
"""What was downloaded before is not downloaded again; below the usual home unless the variable says where."""

_REGISTRIES = {
    "UV_CONFIG_FILE": ".config/uv/uv.toml",
    "PIP_CONFIG_FILE": ".config/pip/pip.conf",
    "npm_config_userconfig": ".npmrc",
}
"""How this machine reaches the package registries."""


class Stranger:
    """A clone of this checkout as it now is, in a folder without siblings."""

    def __init__(self, folder: Path) -> None:
        self.clone = folder / "clone" / "wardround"
        self.home = folder / "home"
        self.data = self.home / ".cache" / "wardround" / "data"
        """Where data sets would come to lie."""
        self.data.parent.mkdir(parents=True)
        usual = Settings.load()
        for built in usual.cache.iterdir():
            if built != usual.fetched:
                (self.data.parent / built.name).symlink_to(built)
        self._environment = {key: value for key, value in os.environ.items() if not key.startswith(_OURS)} | {
            "HOME": str(self.home),
            "MP_SPDZ_HOME": str(self.home / "no-mp-spdz"),
        }
        for variables in (_CACHES, _REGISTRIES):
            for name, place in variables.items():
                if name not in os.environ and (Path.home() / place).exists():
                    self._environment[name] = str(Path.home() / place)
        _clone(self.clone)

    def run(self, script: str, *, alone: bool = False, ends_with: int = 0, seconds: float = 1500) -> str:
        """What a shell script says in the clone, `alone` where there is no network but loopback.

        It must end with this code.
        """
        command = ["bash", "-c", script]
        if alone:
            python = str(self.clone / ".venv" / "bin" / "python")
            command = ["unshare", "--map-root-user", "--net", python, "-m", "tests.support.alone", *command]
        done = subprocess.run(
            command,
            cwd=self.clone,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == ends_with, f"{script}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr


def _clone(folder: Path) -> None:
    """Clone the checkout and bring every file that git does not ignore to its present content, committed or not."""
    subprocess.run(["git", "clone", "--quiet", str(PROJECT), str(folder)], check=True)
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=PROJECT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        source = PROJECT / name
        copy = folder / name
        if source.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy)
        else:
            copy.unlink(missing_ok=True)
