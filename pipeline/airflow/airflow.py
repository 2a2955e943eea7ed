"""Airflow's home: configuration, database, users with generated passwords."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from configparser import ConfigParser
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

from pipeline.airflow import admission, postgres
from pipeline.airflow.accounts import ADDED, DENIED, RIGHTS, Role, hospital_role
from pipeline.errors import Misconfigured, WardroundError
from pipeline.host.files import write_atomic, write_secret
from pipeline.host.secret import Secret
from pipeline.site import worker_report
from pipeline.site.airflow_api import Airflow
from pipeline.site.installation import Installation
from pipeline.site.settings import PROJECT, Settings
from pipeline.site.site import Site

_TEMPLATES = Path(__file__).parent / "templates"
_SECRETS = {"airflow-fernet-key": 32, "airflow-jwt": 64, "airflow-session": 32}
"""Name to bytes; HS512, by which Airflow signs its tokens, wants 64."""

_EDGE_EXECUTOR = "airflow.providers.edge3.executors.EdgeExecutor"

_MIGRATING = ("apache-airflow", "apache-airflow-providers-fab", "apache-airflow-providers-edge3")
"""Packages whose versions change the database."""

_SAME_ON_WORKERS = ("core", "logging", "scheduler", "edge", "workers")
"""Sections of airflow.cfg that hold for a worker elsewhere too: a task's heartbeats are counted at both ends."""

_AT_ONCE_HERE = 8
"""Tasks that run at the same time where all run on one machine."""
_WAITING_FOR_SITES = 1000
"""The same where each site takes its own: one that is away keeps a few waiting, and takes nobody's place."""

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


def log_in(settings: Settings) -> Airflow:
    """Airflow with the service provider's rights; raises Unavailable."""
    services = Installation.load(settings.installation)
    return Airflow.login(services.airflow, PROVIDER, Secret.read(password_file(settings, PROVIDER)), services.authority)


def home(settings: Settings) -> Path:
    """AIRFLOW_HOME of this installation."""
    return settings.home / "airflow"


def worker_home(settings: Settings) -> Path:
    """AIRFLOW_HOME of this site's worker.

    Not the installation's: the provider's API writes there what its own worker reads out of its log and sends.
    """
    return settings.home / "worker"


def log_file(settings: Settings, dag: str, run: str, task: str, attempt: int) -> Path:
    """Where Airflow keeps what a task's try has said."""
    return home(settings) / "logs" / f"dag_id={dag}" / f"run_id={run}" / f"task_id={task}" / f"attempt={attempt}.log"


def configure(settings: Settings, installation: Installation, public: str | None = None) -> None:
    """Write airflow.cfg and what Airflow reads beside it; secrets stay in files of their own.

    `public` is the address of the front where other sites reach it: their Edge workers take the tasks then, and
    PostgreSQL holds the database. Without one this machine takes them all.
    """
    folder = home(settings)
    make_secrets(settings)
    url = urlsplit(installation.airflow)
    if public:
        database = {"executor": _EDGE_EXECUTOR, "from_command": "_cmd", "database": _cat(postgres.url_file(settings))}
    else:
        database = {
            "executor": "LocalExecutor",
            "from_command": "",
            "database": f"sqlite:///{folder / 'airflow.db'}",
        }
    values = {
        **_folders(home(settings)),
        **database,
        "edge": bool(public),
        "json_logs": installation.telemetry.json_logs,
        "otel": installation.telemetry.otlp is not None,
        "parallelism": _WAITING_FOR_SITES if public else _AT_ONCE_HERE,
        "api": installation.airflow,
        "public": public or installation.airflow,
        "host": url.hostname,
        "port": url.port,
        **{name.replace("-", "_"): _cat(settings.home / "secrets" / name) for name in _SECRETS},
    }
    write_atomic(folder / "airflow.cfg", _configuration(values).encode(), mode=0o600)
    _write_local_settings(folder)


def configure_worker(settings: Settings, running: bool) -> None:
    """Write what the site's Edge worker reads beside its environment; forget one that is no longer `running`."""
    _write_local_settings(worker_home(settings))
    if not running:
        # After a restart of the machine its number may be another process's, for which the worker would not start.
        _worker_pid(settings).unlink(missing_ok=True)


def worker_trouble(settings: Settings, pid: int | None) -> str | None:
    """None when the worker's process was let in by the provider, else what is wrong; `pid` is None where none runs."""
    if pid is None:
        return "the worker does not run"
    path = _worker_pid(settings)
    # Written once the provider has answered.
    if path.exists() and path.read_text().strip() == str(pid):
        return None
    site = Site.load(settings)
    if site is not None:
        try:
            if refused := admission.refusal(settings, Installation.load(settings.installation), site.queue):
                return refused
        except WardroundError as error:
            return str(error)
    return f"the provider has not let the worker in yet; {settings.home / 'logs' / 'worker.log'} says why"


def _worker_pid(settings: Settings) -> Path:
    return worker_home(settings) / "airflow-edge-worker.pid"


def _write_local_settings(folder: Path) -> None:
    write_atomic(
        folder / "config" / "airflow_local_settings.py", (_TEMPLATES / "airflow_local_settings.py").read_bytes()
    )


def _folders(folder: Path) -> Mapping[str, object]:
    return {"dags": PROJECT / "dags", "plugins": PROJECT / "plugins", "logs": folder / "logs"}


def _cat(path: Path) -> str:
    """A command by which Airflow reads a secret, so that it stands in no configuration and no environment."""
    return f"cat {shlex.quote(str(path))}"


def _configuration(values: Mapping[str, object]) -> str:
    # Airflow expands %(...)s in its configuration, so a percent sign of ours is doubled.
    escaped = {key: str(value).replace("%", "%%") for key, value in values.items()}
    return Template((_TEMPLATES / "airflow.cfg").read_text()).substitute(escaped)


def make_secrets(settings: Settings) -> None:
    """Generate the keys of Airflow's database, sessions and tokens; keeps those that are there."""
    for name, size in _SECRETS.items():
        path = settings.home / "secrets" / name
        if not path.exists():
            write_secret(path, Secret.generate(size).token().encode())


def make_site_token(settings: Settings, queue: str) -> None:
    """Generate the token of the site of a queue, as the provider keeps it; keeps the one that is there."""
    if not settings.token_of(queue).exists():
        write_secret(settings.token_of(queue), Secret.generate(_SECRETS["airflow-jwt"]).token().encode())


def environment(settings: Settings, installation: Installation) -> Mapping[str, str]:
    """What Airflow's processes need beside airflow.cfg; no secrets."""
    collector = installation.telemetry.otlp
    # Airflow leaves the address to OpenTelemetry's own variables.
    told = {} if collector is None else {"OTEL_EXPORTER_OTLP_ENDPOINT": collector, "OTEL_SERVICE_NAME": "wardround"}
    return {**_environment(home(settings)), **told}


def _environment(folder: Path) -> Mapping[str, str]:
    return {
        "AIRFLOW_HOME": str(folder),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONPATH": str(PROJECT),
        "SPT_NOENV": "1",  # process titles would overwrite the environment, by which the process manager knows its own
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "DO_NOT_TRACK": "1",
        "SCARF_ANALYTICS": "false",
    }


def worker_environment(settings: Settings, installation: Installation, queue: str) -> Mapping[str, str]:
    """What the Edge worker of one site needs, which has no airflow.cfg; no secrets.

    It calls the provider's front, under its own path and by its own token, and trusts the installation's authority
    alone. What else is set is as on the provider's machine.
    """
    logs = {"json_logs": installation.telemetry.json_logs}
    values = dict.fromkeys(Template((_TEMPLATES / "airflow.cfg").read_text()).get_identifiers(), "")
    written = ConfigParser(interpolation=None)
    written.read_string(_configuration({**values, **_folders(worker_home(settings)), **logs}))
    same = {(section, key): value for section in _SAME_ON_WORKERS for key, value in written[section].items() if value}
    own = {
        ("core", "executor"): _EDGE_EXECUTOR,
        ("core", "execution_api_server_url"): f"{installation.airflow}/execution/",
        ("core", "fernet_key"): "",
        ("database", "sql_alchemy_conn"): f"sqlite:///{worker_home(settings) / 'unused.db'}",
        ("api_auth", "jwt_secret_cmd"): _cat(settings.site_token),
        ("api_auth", "jwt_leeway"): str(admission.VALID_SECONDS),
        ("edge", "api_url"): f"{admission.edge_api(installation, queue)}/rpcapi",
        ("edge", "extended_system_info_function"): worker_report.FUNCTION,
    }
    trusted = {}
    if installation.authority:
        own |= {("api", "ssl_ca_file"): str(installation.authority), ("api", "client_use_public_certs"): "False"}
        # What the worker itself calls by; the folder is one that holds no certificate.
        trusted = {"SSL_CERT_FILE": str(installation.authority), "SSL_CERT_DIR": os.devnull}
    named = {f"AIRFLOW__{section}__{key}".upper(): value for (section, key), value in {**same, **own}.items()}
    return {**_environment(worker_home(settings)), **named, **trusted}


def worker_command(queue: str, slots: int) -> Sequence[str]:
    """An Edge worker that serves one queue under that name, with so many tasks at once."""
    return (sys.executable, "-m", "airflow", "edge", "worker", "-q", queue, "-H", queue, "-c", str(slots))


def _database(settings: Settings) -> str:
    """Which database it is: a new one has a new password."""
    if postgres.folder(settings).exists():
        return sha256(Secret.read(postgres.url_file(settings)).reveal()).hexdigest()
    return "SQLite"


def prepare(settings: Settings, logins: Iterable[User]) -> None:
    """Migrate the database and make the users, unless that is done for this version; about 15 s the first time."""
    logins = tuple(logins)
    fresh = {
        user.name: Secret.generate(18).token() for user in logins if not password_file(settings, user.name).exists()
    }
    wanted = sha256(
        repr((*(version(name) for name in _MIGRATING), _database(settings), DENIED, ADDED, RIGHTS, logins)).encode()
    ).hexdigest()
    home(settings).mkdir(exist_ok=True)
    stamp = home(settings) / "prepared"
    there = postgres.folder(settings).exists() or (home(settings) / "airflow.db").exists()
    if not fresh and stamp.exists() and stamp.read_text() == wanted and there:
        return
    passwords = {
        user.name: fresh.get(user.name) or Secret.read(password_file(settings, user.name)).text() for user in logins
    }
    accounts = [{**asdict(user), "password": passwords[user.name], "fresh": user.name in fresh} for user in logins]
    done = subprocess.run(
        [sys.executable, str(_TEMPLATES / "prepare_airflow.py")],
        input=json.dumps(accounts),
        env={**os.environ, **_environment(home(settings)), "AIRFLOW__METRICS__OTEL_ON": "False"},
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
