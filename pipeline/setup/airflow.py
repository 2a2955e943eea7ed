"""Airflow's home: configuration, database, users with generated passwords."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

from pipeline.errors import Misconfigured
from pipeline.host.files import write_atomic, write_secret
from pipeline.host.secret import Secret
from pipeline.setup.accounts import ADDED, DENIED, RIGHTS, Role, hospital_role
from pipeline.site.installation import Installation
from pipeline.site.settings import PROJECT, Settings

_TEMPLATES = Path(__file__).parent / "templates"
_SECRETS = ("airflow-fernet-key", "airflow-jwt", "airflow-session")

PROVIDER = "provider"
AUDITOR = "auditor"


@dataclass(frozen=True)
class User:
    """An account made at set-up: its Airflow role, and whose job it does."""

    name: str
    role: str
    part: Role


def users(hospitals: Iterable[str]) -> tuple[User, ...]:
    """One account for the provider, the auditor and each of this installation's hospitals."""
    return (
        User(PROVIDER, Role.PROVIDER, Role.PROVIDER),
        User(AUDITOR, Role.AUDITOR, Role.AUDITOR),
        *(User(f"hospital-{name}", hospital_role(name), Role.HOSPITAL) for name in hospitals),
    )


def password_file(settings: Settings, user: str) -> Path:
    """Where a user's generated password lies."""
    return settings.home / "secrets" / f"airflow-password-{user}"


def home(settings: Settings) -> Path:
    """AIRFLOW_HOME of this installation."""
    return settings.home / "airflow"


def log_file(settings: Settings, dag: str, run: str, task: str, attempt: int) -> Path:
    """Where Airflow keeps what a task's try has said."""
    return home(settings) / "logs" / f"dag_id={dag}" / f"run_id={run}" / f"task_id={task}" / f"attempt={attempt}.log"


def configure(settings: Settings, installation: Installation) -> None:
    """Write airflow.cfg and what Airflow reads beside it; secrets stay in files of their own."""
    folder = home(settings)
    make_secrets(settings)
    url = urlsplit(installation.airflow)
    values = {
        "dags": PROJECT / "dags",
        "plugins": PROJECT / "plugins",
        "database": folder / "airflow.db",
        "logs": folder / "logs",
        "api": installation.airflow,
        "host": url.hostname,
        "port": url.port,
        **{name.replace("-", "_"): f"cat {shlex.quote(str(settings.home / 'secrets' / name))}" for name in _SECRETS},
    }
    # Airflow expands %(...)s in its configuration, so a percent sign of ours is doubled.
    escaped = {key: str(value).replace("%", "%%") for key, value in values.items()}
    text = Template((_TEMPLATES / "airflow.cfg").read_text()).substitute(escaped)
    write_atomic(folder / "airflow.cfg", text.encode(), mode=0o600)
    write_atomic(
        folder / "config" / "airflow_local_settings.py", (_TEMPLATES / "airflow_local_settings.py").read_bytes()
    )


def make_secrets(settings: Settings) -> None:
    """Generate the keys of Airflow's database, sessions and tokens; keeps those that are there."""
    for name in _SECRETS:
        path = settings.home / "secrets" / name
        if not path.exists():
            write_secret(path, Secret.generate().token().encode())


def environment(settings: Settings) -> Mapping[str, str]:
    """What Airflow's processes need beside airflow.cfg; no secrets."""
    return {
        "AIRFLOW_HOME": str(home(settings)),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONPATH": str(PROJECT),
        "SPT_NOENV": "1",  # process titles would overwrite the environment, by which the process manager knows its own
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "DO_NOT_TRACK": "1",
        "SCARF_ANALYTICS": "false",
    }


def prepare(settings: Settings, logins: Iterable[User]) -> None:
    """Migrate the database and make the users, unless that is done for this version; about 15 s the first time."""
    logins = tuple(logins)
    fresh = {
        user.name: Secret.generate(18).token() for user in logins if not password_file(settings, user.name).exists()
    }
    wanted = sha256(
        repr(
            (version("apache-airflow"), version("apache-airflow-providers-fab"), DENIED, ADDED, RIGHTS, logins)
        ).encode()
    ).hexdigest()
    home(settings).mkdir(exist_ok=True)
    stamp = home(settings) / "prepared"
    if not fresh and stamp.exists() and stamp.read_text() == wanted and (home(settings) / "airflow.db").exists():
        return
    passwords = {
        user.name: fresh.get(user.name) or Secret.read(password_file(settings, user.name)).text() for user in logins
    }
    accounts = [{**asdict(user), "password": passwords[user.name], "fresh": user.name in fresh} for user in logins]
    done = subprocess.run(
        [sys.executable, str(_TEMPLATES / "prepare_airflow.py")],
        input=json.dumps(accounts),
        env={**os.environ, **environment(settings)},
        cwd=home(settings),
        capture_output=True,
        text=True,
        check=False,
    )
    log = settings.home / "logs" / "airflow-prepare.log"
    write_atomic(log, (done.stdout + done.stderr).encode(), mode=0o600)
    if done.returncode != 0:
        raise Misconfigured(f"preparing Airflow's database failed (exit {done.returncode}); {log} says why")
    # Only now: a password whose account was not made, or not reset, would be held for the account's for ever.
    for name, password in fresh.items():
        write_secret(password_file(settings, name), password.encode())
    write_atomic(stamp, wanted.encode())
