"""`wardround up`: bring an installation from nothing, or from any interrupted state, to running services."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait

from pipeline.errors import Misconfigured, Unavailable
from pipeline.host.files import locked
from pipeline.host.secret import Secret
from pipeline.round_steps import dag_id
from pipeline.setup import airflow, demonstration, folders, health, ledger, members, programs, services, store
from pipeline.setup.members import MemberNames
from pipeline.setup.progress import note, step, transfers
from pipeline.setup.services import AIRFLOW
from pipeline.setup.supervisor import Supervisor
from pipeline.setup.tools import runtime
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.study.study_files import load_studies

_START_SECONDS = 180


def up(settings: Settings, rpc: str | None = None) -> Installation:
    """Set up what is missing, start what is down, wait until all of it is healthy; raises Misconfigured or Unavailable.

    `rpc` is a node of the chain that a new installation's ledger is to stand on, by default an embedded development
    chain.
    """
    studies = load_studies(settings.studies)
    everybody = members.members(studies)
    here = members.of_this_machine(settings, everybody)
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(settings.up_lock), ThreadPoolExecutor(max_workers=2) as background:
        with step("tools"):
            runtime.store_server(settings, services.store_server(settings))
            runtime.guard_environment(settings)
            runtime.npm_packages(settings)
        with step("actors' folders and keys"):
            members.create_actors(settings, here)
            demonstration.configure_hospitals(settings, here.hospitals)
        bars = transfers()
        fetched = background.submit(demonstration.fetch, settings, studies, bars)
        manager = services.supervisor(settings)
        if not manager.running():
            manager.end_stray()
        installation, moved = services.addresses(settings, running=manager.running(), rpc=rpc)
        for name in moved:
            note(f"{name}: another program took its port, so it moves to {getattr(installation, name)}")
        installation, changed = folders.write_down(settings)
        for difference in changed:
            note(
                f"{difference.variable}: {difference.other} from each worker's next step on, {difference.one} until now"
            )
        airflow.configure(settings, installation)
        if manager.start(services.programs(settings, installation)):
            note("the code or the services' settings are others than at their start, so they start anew")
        for name in services.backing(installation):
            manager.launch(name)
        airflow_launched = background.submit(_launch_airflow, settings, everybody, manager)
        with step("object store"):
            health.wait("the object store", lambda: health.store(installation), _START_SECONDS)
            store.set_up(settings, installation, here)
        with step("chain and ledger"):
            health.wait(
                "the chain", lambda: health.chain(installation, health.stored_chain_id(settings)), _START_SECONDS
            )
            location = ledger.deploy(settings, installation)
            consortium = members.publish(settings, everybody, location, members.on_this_machine(settings, installation))
            ledger.establish(settings, installation, consortium, studies)
        with bars:
            wait([fetched])
        with step("records dealt to the demonstration's hospitals, studies approved by their owners"):
            if lacking := demonstration.deal_records(settings, studies):
                why = _trouble(fetched) or "; ".join(dict.fromkeys(lacking.values()))
                note(f"no records for {', '.join(lacking)}: {why}")
            demonstration.approve(settings, consortium, studies)
            demonstration.publish_consents(settings, installation, studies)
        with step("encrypted programs"):
            for study, reason in programs.compile_programs(settings, studies).items():
                note(f"study {study} cannot run on this machine: {reason}")
        with step("Airflow"):
            airflow_launched.result()
            _await_airflow(installation, manager)
            password = Secret.read(airflow.password_file(settings, airflow.PROVIDER))
            wanted = [dag_id(study) for study in studies]
            health.wait(
                "Airflow", lambda: health.dags(installation, airflow.PROVIDER, password, wanted), _START_SECONDS
            )
    return installation


def _trouble(fetched: Future[None]) -> str | None:
    """Why not all came that publishers have."""
    try:
        fetched.result()
    except Unavailable as error:
        return str(error)
    return None


def _launch_airflow(settings: Settings, everybody: MemberNames, manager: Supervisor) -> None:
    airflow.prepare(settings, airflow.users(everybody.hospitals))
    for name in AIRFLOW:
        manager.launch(name)


def _await_airflow(installation: Installation, manager: Supervisor) -> None:
    def trouble() -> str | None:
        fatal = [name for name, state in manager.states().items() if state == "FATAL"]
        if fatal:
            raise Misconfigured(f"{', '.join(fatal)} cannot start; its log in .wardround/logs says why")
        return next((text for text in health.airflow(installation).values() if text), None)

    health.wait("Airflow", trouble, _START_SECONDS)
