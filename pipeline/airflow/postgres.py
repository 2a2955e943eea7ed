"""PostgreSQL of an installation that members on other machines work for: made once, reached over a socket by password.

It listens on no port, and its socket lies in a private folder. PostgreSQL refuses to run as root; where root has set up
the installation, it runs in a user namespace, as somebody who owns the same files and has no right beside.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from pipeline.errors import Misconfigured
from pipeline.host.files import scratch, write_secret
from pipeline.host.secret import Secret
from pipeline.site.settings import Settings
from pipeline.tools import runtime

USER = "airflow"
"""The one role, and the name of its database."""

STOP_SIGNAL = "INT"
"""Ends the server at once and in order; by TERM it would wait for its clients."""

_NOT_ROOT = ("unshare", "--map-user=1000", "--map-group=1000")
"""Runs a command as another user in its own eyes, who owns what root owns and may nothing that root may."""

_INITDB = ("--auth=scram-sha-256", f"--username={USER}", "--encoding=UTF8", "--no-locale")
_NEEDED = ("initdb", "postgres", "pg_isready")
_LOCALE = {"LC_ALL": "C"}


def folder(settings: Settings) -> Path:
    """Where the database lies, with its socket."""
    return settings.home / "postgres"


def url_file(settings: Settings) -> Path:
    """Where the database's address stands, with the password, for Airflow's own processes."""
    return settings.home / "secrets" / "airflow-database"


def binaries(settings: Settings) -> Path:
    """The folder of the PostgreSQL that runs here: the machine's own, else the one of requirements/postgres.txt.

    A database is opened by the major version that made it; raises Misconfigured when the machine has others only.
    """
    found = _installed()
    made = folder(settings) / "PG_VERSION"
    if not made.exists():
        return next(iter(found.values()), None) or runtime.postgres_environment(settings)
    major = made.read_text().strip()
    if major not in found and runtime.postgres_path().exists():
        found = {**found, _major(runtime.postgres_path()): runtime.postgres_path()}
    if major not in found:
        raise Misconfigured(
            f"{folder(settings)}: made by PostgreSQL {major}, this machine has {', '.join(found) or 'none'}; install"
            f" PostgreSQL {major} again (Debian: apt-get install postgresql-{major}), or move the database with"
            " pg_upgrade"
        )
    return found[major]


def prepare(settings: Settings) -> None:
    """Make the database and its password unless they are there; some 5 s the first time; raises Misconfigured."""
    if folder(settings).exists() and url_file(settings).exists():
        _correct_address(settings)
        return
    commands = binaries(settings)
    password = Secret.generate(24).token()
    with scratch(settings.home, "making-postgres") as place:
        write_secret(place / "password", password.encode())
        _run([commands / "initdb", "--pgdata", place / "data", f"--pwfile={place / 'password'}", *_INITDB])
        single = [commands / "postgres", "--single", "-D", place / "data", "postgres"]
        _run(single, says=f"create database {USER}\n")
        # The address first: without the database it is made anew, a database without its password is lost.
        address = f"postgresql+psycopg2://{USER}:{password}@/{USER}?{_socket(settings)}"
        write_secret(url_file(settings), address.encode())
        (place / "data").rename(folder(settings))


def _socket(settings: Settings) -> str:
    return f"host={quote(str(folder(settings)))}"


def _correct_address(settings: Settings) -> None:
    """The database's folder may have moved, with the socket in it."""
    before, _, said = Secret.read(url_file(settings)).text().partition("?")
    if said != _socket(settings):
        write_secret(url_file(settings), f"{before}?{_socket(settings)}".encode())


def command(settings: Settings) -> Sequence[str]:
    """The server, on the socket in its folder and on nothing else; ends at once, in order, by SIGINT."""
    data = str(folder(settings))
    options = {"listen_addresses": "", "unix_socket_directories": data, "unix_socket_permissions": "0700"}
    given = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    return [*_as_nobody_special(), str(binaries(settings) / "postgres"), "-D", data, *given]


def environment() -> Mapping[str, str]:
    """What the server needs; no secret."""
    return _LOCALE


def trouble(settings: Settings) -> str | None:
    """None when the server takes connections, else what is wrong."""
    ask = [str(binaries(settings) / "pg_isready"), "--quiet", "--host", str(folder(settings)), "--timeout", "3"]
    said = subprocess.run(ask, capture_output=True, check=False).returncode
    return {0: None, 1: "PostgreSQL starts up, or has no connection left"}.get(said, "PostgreSQL does not answer")


def _installed() -> dict[str, Path]:
    """Of this machine's own, by major version: the one on the PATH, then Debian's, newest first."""
    on_path = shutil.which("initdb")
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]), reverse=True
    )
    found: dict[str, Path] = {}
    for path in [*([Path(on_path)] if on_path else []), *debian]:
        commands = path.resolve().parent  # the PATH may have links to a few of them
        if all((commands / name).exists() for name in _NEEDED):
            found.setdefault(_major(commands), commands)
    return found


def _major(commands: Path) -> str:
    said = subprocess.run([commands / "postgres", "--version"], capture_output=True, text=True, check=False).stdout
    number = re.search(r"\d+", said)
    return number[0] if number else ""


def _as_nobody_special() -> Sequence[str]:
    return _NOT_ROOT if os.geteuid() == 0 else ()


def _run(command: Sequence[object], says: str = "") -> None:
    whole = [*_as_nobody_special(), *map(str, command)]
    try:
        done = subprocess.run(
            whole, env={**os.environ, **_LOCALE}, input=says, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise Misconfigured(
            f"could not make the database: got no command {error.filename}; PostgreSQL refuses to run as root, so want"
            " `unshare` (Debian: util-linux), or another user who sets up the installation"
        ) from error
    if done.returncode != 0:
        raise Misconfigured(
            f"could not make the database ({Path(str(command[0])).name}, exit {done.returncode}):"
            f" {(done.stdout + done.stderr).strip()[-600:]}"
        )
