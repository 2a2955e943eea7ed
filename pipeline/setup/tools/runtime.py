"""What rounds need: the environments of our code and of SPU, the object store, the development chain."""

from __future__ import annotations

from pathlib import Path

from pipeline.settings import PROJECT, Settings
from pipeline.setup.tools.toolchains import environment, go, npm, uv
from pipeline.setup.tools.work import built, digest, run, stamped

MINIO_VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"

REQUIREMENTS = PROJECT / "requirements"


def python_environment(settings: Settings, *, develop: bool = False) -> Path:
    """The checkout's own environment with the `wardround` command: as requirements/main.txt says, to `develop` with dev/main.txt too.

    An environment to develop in serves rounds as well, and stays one.
    """
    runs = [REQUIREMENTS / "main.txt"]
    develops = [*runs, REQUIREMENTS / "dev" / "main.txt"]
    ours = PROJECT / "pyproject.toml"
    made_to_develop = digest(*develops, ours)
    fitting = [made_to_develop] if develop else [digest(*runs, ours), made_to_develop]
    folder = PROJECT / ".venv"
    with stamped(folder, *fitting) as fresh:
        if not fresh:
            python = locked_environment(settings, folder, *(develops if develop else runs))
            install: list[str | Path] = [uv(settings), "pip", "install", "--quiet", "--python", python]
            run([*install, "--no-build-isolation", "--no-deps", "--editable", PROJECT], "install the wardround command")
    return folder / "bin" / "python"


def spu_environment(settings: Settings) -> Path:
    """SPU's own environment as requirements/spu.txt says."""
    folder, lock = PROJECT / ".venv-spu", REQUIREMENTS / "spu.txt"
    with stamped(folder, digest(lock)) as fresh:
        if not fresh:
            locked_environment(settings, folder, lock)
    return folder / "bin" / "python"


def locked_environment(settings: Settings, folder: Path, *locks: Path) -> Path:
    """Make `folder` an environment of exactly the packages of `locks`, linked from uv's cache; its interpreter."""
    python = environment(settings, folder)
    names = " and ".join(str(lock.relative_to(REQUIREMENTS)) for lock in locks)
    run([uv(settings), "pip", "sync", "--quiet", "--python", python, "--require-hashes", *locks], f"install {names}")
    return python


def minio_path(settings: Settings) -> Path:
    """Where the MinIO server lies once it is built."""
    return settings.cache / "minio" / MINIO_VERSION / "minio"


def minio(settings: Settings) -> Path:
    """The MinIO server, built from its Go module unless this user has it; about 3 minutes the first time on 2 cores."""

    def build(folder: Path) -> Path:
        env = {"GOBIN": str(folder), "CGO_ENABLED": "0", "GOFLAGS": "-trimpath"}
        run([go(settings), "install", "-ldflags", "-s -w", f"github.com/minio/minio@{MINIO_VERSION}"], "build MinIO", env)
        return folder / "minio"

    return built(minio_path(settings), build)


def npm_packages(settings: Settings, *, develop: bool = False) -> Path:
    """The checkout's node_modules as package-lock.json says, to `develop` all of it; runs no package's scripts."""
    lock = digest(PROJECT / "package-lock.json")
    runs, develops = f"{lock} to run", f"{lock} to develop"
    folder = PROJECT / "node_modules"
    with stamped(folder, *([develops] if develop else [runs, develops])) as fresh:
        if not fresh:
            command = [*npm(settings), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", "--prefer-offline"]
            run([*command, "--include=dev" if develop else "--omit=dev"], "install the npm packages")
    return folder
