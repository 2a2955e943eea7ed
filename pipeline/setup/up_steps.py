"""The steps from which `wardround up` is put together at each kind of site; every one may be repeated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future

from pipeline.airflow import airflow
from pipeline.errors import Misconfigured
from pipeline.host.secret import Secret
from pipeline.round_steps import dag_id
from pipeline.services import health, services
from pipeline.services.supervisor import Supervisor
from pipeline.setup import folders, ledger, store
from pipeline.setup.engine import programs
from pipeline.setup.members import MemberNames
from pipeline.setup.progress import note, step
from pipeline.site.consortium import Consortium, LedgerLocation
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.study.study import Study
from pipeline.tools import runtime

START_SECONDS = 180


def tools(settings: Settings, *, chain: bool) -> None:
    """Install what the servers run from; `chain` says whether a development chain is among them."""
    with step("tools"):
        runtime.store_server(settings, services.store_server(settings))
        runtime.guard_environment(settings)
        if chain:
            runtime.npm_packages(settings)


def manager_of(settings: Settings) -> Supervisor:
    """The installation's process manager; what one that was killed has left is ended."""
    manager = services.supervisor(settings)
    if not manager.running():
        manager.end_stray()
    return manager


def addresses(settings: Settings, manager: Supervisor, rpc: str | None) -> Installation:
    """Choose where the servers of this machine answer, and write it down."""
    installation, moved = services.addresses(settings, running=manager.running(), rpc=rpc)
    for name in moved:
        note(f"{name}: another program took its port, so it moves to {getattr(installation, name)}")
    return write_folders(settings)


def write_folders(settings: Settings) -> Installation:
    """Write down where engines and data lie."""
    installation, changed = folders.write_down(settings)
    for difference in changed:
        note(f"{difference.variable}: {difference.other} from each worker's next step on, {difference.one} until now")
    return installation


def start(settings: Settings, installation: Installation, manager: Supervisor, names: Iterable[str]) -> None:
    """Start the process manager unless it runs with this very configuration, these of its services, and the watch."""
    if manager.start(services.programs(settings, installation)):
        note("the code or the services' settings are others than at their start, so they start anew")
    for name in (*names, *services.watching(settings)):
        manager.launch(name)


def store_ready(settings: Settings, installation: Installation, here: MemberNames) -> None:
    """Wait for the object store, and make buckets and the accounts of this machine's members."""
    with step("object store"):
        health.wait("the object store", lambda: health.store(installation), START_SECONDS)
        store.set_up(settings, installation, here)


def ledger_ready(settings: Settings, installation: Installation) -> LedgerLocation:
    """Wait for the chain, and deploy the ledger unless it stands."""
    chain_ready(settings, installation)
    return ledger.deploy(settings, installation)


def chain_ready(settings: Settings, installation: Installation) -> None:
    """Wait for the chain that the members' file names."""
    chain_id = health.stored_chain_id(settings)
    health.wait("the chain", lambda: health.chain(installation, chain_id), START_SECONDS)


def programs_ready(settings: Settings, studies: Mapping[str, Study]) -> None:
    """Compile what the nodes of this machine compute under encryption."""
    with step("encrypted programs"):
        for study, reason in programs.compile_programs(settings, studies).items():
            note(f"study {study} cannot run on this machine: {reason}")


def airflow_ready(
    settings: Settings, installation: Installation, manager: Supervisor, studies: Iterable[str], launched: Future[None]
) -> None:
    """Wait for Airflow, and until it has read the studies; raises what the launch raised."""
    with step("Airflow"):
        launched.result()
        health.wait("Airflow", lambda: _airflow_trouble(installation, manager), START_SECONDS)
        password = Secret.read(airflow.password_file(settings, airflow.PROVIDER))
        wanted = [dag_id(study) for study in studies]
        health.wait("Airflow", lambda: health.dags(installation, airflow.PROVIDER, password, wanted), START_SECONDS)


def worker_ready(settings: Settings, manager: Supervisor) -> None:
    """Wait until the provider has let this site's worker in."""
    with step("worker"):
        health.wait("the worker", lambda: _worker_trouble(settings, manager), START_SECONDS)


def running(manager: Supervisor) -> list[str]:
    """The services that are up, or on their way."""
    return [name for name, state in manager.states().items() if state in ("RUNNING", "STARTING")]


def unknown(study: Study, consortium: Consortium) -> list[str]:
    """The study's members that have no card yet: until then nobody can approve it."""
    members = {*consortium.hospitals, *consortium.nodes}
    return [name for name in (*study.hospitals, *study.nodes) if name not in members]


def _airflow_trouble(installation: Installation, manager: Supervisor) -> str | None:
    _refuse_fatal(manager)
    return next((text for text in health.airflow(installation).values() if text), None)


def _worker_trouble(settings: Settings, manager: Supervisor) -> str | None:
    _refuse_fatal(manager)
    return airflow.worker_trouble(settings, manager.pids().get(services.WORKER))


def _refuse_fatal(manager: Supervisor) -> None:
    if fatal := [name for name, state in manager.states().items() if state == "FATAL"]:
        raise Misconfigured(f"{', '.join(fatal)} cannot start; its log in .wardround/logs says why")
