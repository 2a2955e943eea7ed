"""The services of an installation on one machine: object store, development chain, Airflow."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import urlsplit

from pipeline import ports
from pipeline.errors import Misconfigured
from pipeline.files import write_secret
from pipeline.installation import SERVICES, Installation
from pipeline.ports import LOOPBACK
from pipeline.settings import HOME, PROJECT, Settings
from pipeline.setup import airflow, store
from pipeline.setup.supervisor import Program, Supervisor
from pipeline.setup.tools import runtime

STORE, CHAIN = "store", "chain"
AIRFLOW = ("airflow-api", "airflow-scheduler", "airflow-dags")
NAMES = (STORE, CHAIN, *AIRFLOW)

_AIRFLOW_COMMANDS = {
    "airflow-api": ("api-server",),
    # Logs lie on this machine, where the api-server reads them: no log server, which would listen on all interfaces.
    "airflow-scheduler": ("scheduler", "--skip-serve-logs"),
    "airflow-dags": ("dag-processor",),
}


def addresses(settings: Settings, *, running: bool, rpc: str | None = None) -> tuple[Installation, list[str]]:
    """The services' addresses, chosen at the first start; a port that another program took since is chosen anew and named.

    `rpc` is a node of the chain that the ledger is to stand on; without one the embedded development chain runs here. Raises
    Misconfigured when the installation's ledger stands on another chain already.
    """
    if not settings.installation.exists():
        first = ports.choose(len(SERVICES))
        free = {name: _address(first + index) for index, name in enumerate(SERVICES)}
        chosen = Installation.model_validate({**free, **({"rpc": rpc, "development_chain": False} if rpc else {})})
        chosen.save(settings.installation)
        return chosen, []
    known = Installation.load(settings.installation)
    if rpc not in (None, known.rpc):
        raise Misconfigured(
            f"{settings.installation}: rpc: got {rpc}, but this installation was set up with {known.rpc}; when the same chain has moved, "
            "correct the file; for another chain start another installation (WARDROUND_HOME)"
        )
    ours = [name for name, url in known.urls.items() if urlsplit(url).hostname == LOOPBACK and (name != "rpc" or known.development_chain)]
    taken = [] if running else [name for name in ours if not ports.is_free(_port(known.urls[name]))]
    if taken:
        known = known.model_copy(update={name: _address(ports.choose()) for name in taken})
        known.save(settings.installation)
    return known, taken


def programs(settings: Settings, installation: Installation) -> list[Program]:
    """What the process manager runs; secrets are in files that only the services read."""
    python = sys.executable
    # The rest stands in the installation: an environment would keep what was right when the service started.
    ours = {HOME: str(settings.home)}
    object_store = Program(
        STORE,
        [str(runtime.minio_path(settings)), "server", "--quiet", "--address", _host_port(installation.store), str(settings.home / "minio")],
        settings.home,
        {"MINIO_CONFIG_ENV_FILE": str(store_environment(settings)), "MINIO_BROWSER": "off", "MINIO_UPDATE": "off", "CI": "true"},
    )
    chain = Program(
        CHAIN,
        [python, "-m", "pipeline.chain.devchain", "--port", str(_port(installation.rpc)), "--home", str(settings.home / "chain")],
        PROJECT,
        ours,
    )
    flows = [
        Program(
            name, [python, "-m", "airflow", *command], airflow.home(settings), {**ours, **airflow.environment(settings)}, stop_seconds=6
        )
        for name, command in _AIRFLOW_COMMANDS.items()
    ]
    return [object_store, *([chain] if installation.development_chain else []), *flows]


def backing(installation: Installation) -> tuple[str, ...]:
    """What runs here and must answer before anything else is set up."""
    return (STORE, CHAIN) if installation.development_chain else (STORE,)


def store_environment(settings: Settings) -> Path:
    """Write the file from which MinIO reads its root credentials, so that they stand in no argument and no process environment."""
    root = store.root_account(settings)
    path = settings.home / "secrets" / "store.env"
    write_secret(path, f"MINIO_ROOT_USER={root.access_key}\nMINIO_ROOT_PASSWORD={root.secret_key.text()}\n".encode())
    return path


def supervisor(settings: Settings) -> Supervisor:
    """The process manager of this installation."""
    return Supervisor(settings.home)


def _address(port: int) -> str:
    return f"http://{LOOPBACK}:{port}"


def _port(url: str) -> int:
    return urlsplit(url).port or 80


def _host_port(url: str) -> str:
    return f"{LOOPBACK}:{_port(url)}"
