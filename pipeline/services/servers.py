"""The servers that can be the object store, and how each is started behind the guard."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.domain import StoreKind
from pipeline.errors import Misconfigured
from pipeline.host import namespace
from pipeline.services import guard
from pipeline.site.identity import StoreCredentials
from pipeline.site.settings import PROJECT, Settings

HEALTH = "/health"
"""What the guard answers to everybody, for either server."""

CADDY_LOG = "CADDY_LOG"
"""Environment variable by which guard and front choose how to write their logs: lines (without it) or json."""
CADDY_SERVICE = "CADDY_SERVICE"
"""And by which they say in JSON which of them they are."""

_CONFIGURATION = PROJECT / "pipeline" / "services" / "templates" / "guard.caddyfile"

SHUT_IN_ADDRESS = "127.0.0.1:9000"
"""MinIO's within its own network; it takes no UNIX socket."""

_FROM_FILE = ("sh", "-c", 'set -a; . "$0"; exec "$@"')
"""Runs a command with the environment of a file, so that a secret stands in no argument and not in the process
manager's file."""


@dataclass(frozen=True)
class Launch:
    """Arguments and environment of one process."""

    command: Sequence[str]
    environment: Mapping[str, str]


def behind_guard(kind: StoreKind, binary: Path, caddy: Path, address: str, folder: Path, secrets: Path) -> Launch:
    """The store at `address` (HOST:PORT): a guard that everybody reaches, and a server that only the guard reaches.

    `folder` holds its objects, `secrets` is the file of `root_environment`. Raises Misconfigured.
    """
    if kind == "minio" and not namespace.can_shut_in():
        raise Misconfigured(
            "store_server: got minio, but this machine gives no network namespace, so every program here could pass by"
            " the guard; want versitygw in a new installation's installation.yaml, or a machine that allows `unshare"
            " --map-root-user --net`"
        )
    inner = SHUT_IN_ADDRESS if kind == "minio" else _socket(folder)
    shut_in = [guard.SHUT_IN] if kind == "minio" else []
    server = behind(kind, binary, inner, folder, secrets)
    before = in_front(kind, caddy, inner)
    command = [
        sys.executable,
        "-m",
        "pipeline.services.guard",
        *shut_in,
        address,
        *before.command,
        "--",
        *server.command,
    ]
    return Launch(command, {**before.environment, **server.environment})


def in_front(kind: StoreKind, caddy: Path, inner: str) -> Launch:
    """The guard before a server at `inner`, HOST:PORT or a socket's path."""
    command = [str(caddy), "run", "--adapter", "caddyfile", "--config", str(_CONFIGURATION)]
    health = "/minio/health/ready" if kind == "minio" else HEALTH
    return Launch(
        command, {"GUARD_SERVER": f"unix/{inner}" if inner.startswith("/") else inner, "GUARD_HEALTH": health}
    )


def behind(kind: StoreKind, binary: Path, inner: str, folder: Path, secrets: Path) -> Launch:
    """The server itself at `inner`, HOST:PORT or a socket's path."""
    if kind == "minio":
        environment = {
            "MINIO_CONFIG_ENV_FILE": str(secrets),
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
            "CI": "true",
        }
        return Launch([str(binary), "server", "--quiet", "--address", inner, str(folder)], environment)
    objects, versions, attributes, accounts = (
        folder / name for name in ("objects", "versions", "attributes", "accounts")
    )
    for directory in (objects, versions, attributes, accounts):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    gateway = [
        str(binary),
        "--quiet",
        "--port",
        inner,
        "--socket-perm",
        "0600",
        "--health",
        HEALTH,
        "--iam-dir",
        str(accounts),
    ]
    # A file's own attributes hold 4 kB on most disks, too little for the rights of a dozen hospitals.
    backend = [
        "posix",
        "--versioning-dir",
        str(versions),
        "--sidecar",
        str(attributes),
        "--dir-perms",
        "0700",
        "--file-perms",
        "0600",
    ]
    return Launch([*_FROM_FILE, str(secrets), *gateway, *backend, str(objects)], {})


def root_environment(kind: StoreKind, root: StoreCredentials) -> bytes:
    """The file by which the server learns its root account."""
    user, password = (
        ("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD")
        if kind == "minio"
        else ("ROOT_ACCESS_KEY_ID", "ROOT_SECRET_ACCESS_KEY")
    )
    return f"{user}={root.access_key.text()}\n{password}={root.secret_key.text()}\n".encode()


def _socket(folder: Path) -> str:
    # Short enough wherever the process manager's is (`pipeline.services.supervisor`), which lies as deep and has the
    # narrower bound.
    return str(folder / "server.sock")


def objects_folder(settings: Settings, kind: StoreKind) -> Path:
    """Where the server keeps its objects."""
    return settings.home / kind


def root_account(settings: Settings) -> StoreCredentials:
    """The store's root credentials, made at the first start; used by set-up only."""
    path = root_file(settings)
    if not path.exists():
        StoreCredentials.generate("root").save(path)
    return StoreCredentials.load(path)


def root_file(settings: Settings) -> Path:
    """Where the root account lies, at the store's operator alone."""
    return settings.home / "secrets" / "store-root"
