"""The services of an installation: what runs at each kind of site, and at all of them on one machine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

from pipeline.airflow import airflow, postgres
from pipeline.domain import Sha256, StoreKind
from pipeline.errors import Misconfigured
from pipeline.evidence.canonical import digest, sha256
from pipeline.host import log, ports
from pipeline.host.files import write_secret
from pipeline.host.ports import LOOPBACK
from pipeline.joining.card import Card
from pipeline.services import front, servers
from pipeline.services.supervisor import Program, Supervisor
from pipeline.site import certificates
from pipeline.site.installation import SERVICES, Installation, Telemetry
from pipeline.site.settings import HOME, PROJECT, Settings
from pipeline.site.site import Site, SiteRole
from pipeline.tools import runtime
from pipeline.watch import notices

STORE = "store"
CHAIN = "chain"
AIRFLOW = ("airflow-api", "airflow-scheduler", "airflow-dags")
NAMES = (STORE, CHAIN, *AIRFLOW)
"""Of an installation of all sites on one machine; and what members of other machines reach at the provider's."""
DATABASE = "database"
FRONT = "front"
WORKER = "worker"
"""What sites on machines of their own have beside."""
WATCH = "watch"
"""Sends notices, where somebody wants some."""

_SLOTS = {SiteRole.HOSPITAL: 1, SiteRole.NODE: 1, SiteRole.PROVIDER: 4}
"""How many steps a site's worker takes at once; the provider's wait for others' in several studies."""

_CODE = "WARDROUND_CODE"
"""Environment variable with the digest of the code that a service loaded at its start."""

_AIRFLOW_COMMANDS = {
    "airflow-api": ("api-server",),
    # Logs lie on this machine, where the api-server reads them: no log server, which would listen on all interfaces.
    "airflow-scheduler": ("scheduler", "--skip-serve-logs"),
    "airflow-dags": ("dag-processor",),
}


def addresses(settings: Settings, *, running: bool, rpc: str | None = None) -> tuple[Installation, list[str]]:
    """The services' addresses, chosen at the first start, and the names of those that had to move.

    A service whose port another program took since is given another one. `rpc` is a node of the chain that the ledger
    is to stand on; without one the embedded development chain runs here. Raises Misconfigured when the installation's
    ledger stands on another chain already.
    """
    wished = Installation.wished_store(settings.installation)
    if wished or not settings.installation.exists():
        first = ports.choose(len(SERVICES))
        free = {name: _address(first + index) for index, name in enumerate(SERVICES)}
        chosen = Installation.model_validate(
            {
                **free,
                "store_server": wished or runtime.usual_store(),
                **({"rpc": rpc, "development_chain": False} if rpc else {}),
            }
        )
        chosen.save(settings.installation)
        return chosen, []
    installation = Installation.load(settings.installation)
    if rpc not in (None, installation.rpc):
        raise Misconfigured(
            f"{settings.installation}: rpc: got {rpc}, but this installation was set up with {installation.rpc}; when"
            " the same chain has moved, correct the file; for another chain start another installation (WARDROUND_HOME)"
        )
    _refuse_another_store(settings, installation.store_server)
    ours = [
        name
        for name, url in installation.urls.items()
        if urlsplit(url).hostname == LOOPBACK and (name != "rpc" or installation.development_chain)
    ]
    taken = [] if running else [name for name in ours if not ports.is_free(_port(installation.urls[name]))]
    if taken:
        installation = installation.model_copy(update={name: _address(ports.choose()) for name in taken})
        installation.save(settings.installation)
    return installation, taken


def store_server(settings: Settings) -> StoreKind:
    """The server that is this installation's store, or will be."""
    if wished := Installation.wished_store(settings.installation):
        return wished
    return (
        Installation.load(settings.installation).store_server
        if settings.installation.exists()
        else runtime.usual_store()
    )


def _loaded_code() -> Sha256:
    """SHA-256 over all that the services load of ours."""
    files = (file for folder in ("pipeline", "plugins", "dags") for file in PROJECT.glob(f"{folder}/**/*.py"))
    return digest({str(file.relative_to(PROJECT)): sha256(file.read_bytes()) for file in files})


def names(site: Site | None) -> tuple[str, ...]:
    """What runs at a site; at None, where all sites lie on one machine. The chain may run elsewhere."""
    match site and site.role:
        case None:
            return NAMES
        case SiteRole.PROVIDER:
            return (DATABASE, *NAMES, FRONT, WORKER)
        case SiteRole.AUDITOR:
            return ()
        case _:
            return (WORKER,)


def programs(settings: Settings, installation: Installation) -> list[Program]:
    """What the process manager runs; secrets are in files that only the services read."""
    site = Site.load(settings)
    runs_elsewhere = () if installation.development_chain else (CHAIN,)
    made: dict[str, Callable[[], Program]] = {
        DATABASE: lambda: database(settings),
        STORE: lambda: _store(settings, installation),
        CHAIN: lambda: _chain(settings, installation),
        **{name: partial(_airflow, settings, installation, name) for name in AIRFLOW},
        FRONT: lambda: before_all(
            settings, installation, _front_address(settings), settings.provider / certificates.TLS
        ),
    }
    made[WATCH] = lambda: watch(settings)
    if site is not None:
        made[WORKER] = lambda: worker(settings, installation, site.queue, _SLOTS[site.role])
    return [made[name]() for name in (*names(site), *watching(settings)) if name not in runs_elsewhere]


def watching(settings: Settings) -> tuple[str, ...]:
    """The watch, where the site has an address for notices, or wants metrics; nothing runs at an auditor's."""
    site = Site.load(settings)
    wanted = notices.addresses_file(settings).exists() or _telemetry(settings).prometheus is not None
    return (WATCH,) if wanted and (site is None or site.works) else ()


def _telemetry(settings: Settings) -> Telemetry:
    """What the site's owner wants to be told; nothing before the first set-up."""
    if not Installation.is_made(settings.installation):
        return Telemetry()
    return Installation.load(settings.installation).telemetry


def _ours(settings: Settings) -> Mapping[str, str]:
    # The rest stands in the installation: an environment would keep what was right when the service started. The code
    # is what they loaded then: other code is another configuration, for which `Supervisor.start` starts them anew.
    return {HOME: str(settings.home), _CODE: _loaded_code(), **_logs(settings)}


def _logs(settings: Settings) -> Mapping[str, str]:
    """How services that Airflow does not configure write their logs."""
    site = Site.load(settings)
    return {log.JSON: "1", log.SITE: site.queue if site else ""} if _telemetry(settings).json_logs else {}


def _caddy_log(settings: Settings, service: str) -> Mapping[str, str]:
    asked = _logs(settings)
    return {**asked, servers.CADDY_LOG: "json", servers.CADDY_SERVICE: service} if asked else {}


def _store(settings: Settings, installation: Installation) -> Program:
    kind = installation.store_server
    launch = servers.behind_guard(
        kind,
        runtime.store_server_path(settings, kind),
        runtime.caddy_path(),
        _host_port(installation.store),
        servers.objects_folder(settings, kind),
        store_environment(settings, kind),
    )
    return Program(STORE, launch.command, PROJECT, {**launch.environment, **_caddy_log(settings, STORE)})


def _chain(settings: Settings, installation: Installation) -> Program:
    given = ["--port", str(_port(installation.rpc)), "--home", str(settings.home / "chain")]
    return Program(CHAIN, [sys.executable, "-m", "pipeline.devchain.devchain", *given], PROJECT, _ours(settings))


def _airflow(settings: Settings, installation: Installation, name: str) -> Program:
    command = [sys.executable, "-m", "airflow", *_AIRFLOW_COMMANDS[name]]
    environment = {**_ours(settings), **airflow.environment(settings, installation)}
    return Program(name, command, airflow.home(settings), environment, stop_seconds=6)


def worker(settings: Settings, installation: Installation, queue: str, slots: int) -> Program:
    """The Edge worker of a site, which takes so many tasks of its queue at once."""
    command = airflow.worker_command(queue, slots)
    environment = {**_ours(settings), **airflow.worker_environment(settings, installation, queue)}
    # Time to say that it goes: one that did not is let in again after five heartbeats only.
    return Program(WORKER, command, airflow.worker_home(settings), environment, stop_seconds=20)


def watch(settings: Settings) -> Program:
    """Looks about once a minute, sends notices, and answers with metrics."""
    port = _telemetry(settings).prometheus
    served = [] if port is None else ["--prometheus", str(port)]
    return Program(WATCH, [sys.executable, "-m", "pipeline.watch.watch", *served], PROJECT, _ours(settings))


def database(settings: Settings) -> Program:
    """PostgreSQL, which ends at once by SIGINT and would wait for its clients by SIGTERM."""
    command = postgres.command(settings)
    return Program(
        DATABASE, command, PROJECT, postgres.environment(), stop_seconds=30, stop_signal=postgres.STOP_SIGNAL
    )


def before_all(settings: Settings, installation: Installation, address: str, certificate: Path) -> Program:
    """The front at `address`, HOST:PORT of this machine; `certificate` is the folder of cert.pem and key.pem."""
    launch = front.launch(runtime.caddy_path(), address, certificate, installation)
    return Program(FRONT, launch.command, PROJECT, {**launch.environment, **_caddy_log(settings, FRONT)})


def _front_address(settings: Settings) -> str:
    # On all interfaces: behind a router, and where a machine's own name is loopback's, its address is another one.
    return f"0.0.0.0:{_port(public(settings))}"


def public(settings: Settings) -> str:
    """Where sites reach the provider, as its own card says: https://HOST:PORT."""
    return f"https://{Card.kept(settings.card.read_bytes(), str(settings.card)).host}"


def backing(installation: Installation) -> tuple[str, ...]:
    """What runs here and must answer before anything else is set up."""
    return (STORE, CHAIN) if installation.development_chain else (STORE,)


def store_environment(settings: Settings, kind: StoreKind) -> Path:
    """Write the file from which the store reads its root credentials, so that no argument and no setting holds them."""
    path = settings.home / "secrets" / "store.env"
    write_secret(path, servers.root_environment(kind, servers.root_account(settings)))
    return path


def supervisor(settings: Settings) -> Supervisor:
    """The process manager of this installation."""
    return Supervisor(settings.home)


def _refuse_another_store(settings: Settings, kind: StoreKind) -> None:
    for other in get_args(StoreKind):
        if servers.objects_folder(settings, other).exists() and not servers.objects_folder(settings, kind).exists():
            raise Misconfigured(
                f"{settings.installation}: store_server: got {kind}, but this installation's objects lie with {other};"
                f" put {other} there; for {kind} start another installation (WARDROUND_HOME)"
            )


def _address(port: int) -> str:
    return f"http://{LOOPBACK}:{port}"


def _port(url: str) -> int:
    return urlsplit(url).port or 80


def _host_port(url: str) -> str:
    return f"{LOOPBACK}:{_port(url)}"
